// Command go is a chatbot that uses Hearth. It fetches what it needs at once, answers, and saves the turn for the next one.
// Start reading at handle.
//
// It is a module of its own, like your handler. See go.mod.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"hearth/client"
)

type bot struct{ hearth *client.Client }

type event struct {
	ChatID    string `json:"chat_id"`
	Text      string `json:"text"`
	RouteName string `json:"route_name"`
}

type result struct {
	Reply   string `json:"reply,omitempty"`
	Muted   bool   `json:"muted"`
	History int    `json:"history"`
	Saved   bool   `json:"saved"`
}

func main() {
	hearth, err := client.New(client.FromEnv(os.Getenv))
	if err != nil {
		log.Fatal(err)
	}
	b := &bot{hearth}
	lambda.Start(b.handle)
}

// handle measures the turn. When it ends, Hearth is told what was measured.
func (b *bot) handle(ctx context.Context, e event) (result, error) {
	var requestID string
	if lambda, ok := lambdacontext.FromContext(ctx); ok {
		requestID = lambda.AwsRequestID
	}
	ctx, end := b.hearth.Invocation(ctx, requestID)
	defer end()
	return client.Timed(ctx, "lambda_handler_total", func(ctx context.Context) (result, error) { return b.turn(ctx, e) })
}

// turn passes on ctx, which ends with the invocation: so every call of Hearth's ends before that.
func (b *bot) turn(ctx context.Context, e event) (result, error) {
	found, err := client.Timed(ctx, "parallel_preprocessing", func(ctx context.Context) (*client.Preprocess, error) {
		return b.hearth.Preprocess(ctx, client.PreprocessRequest{
			ChatID: e.ChatID, Text: e.Text, RouteName: cmp.Or(e.RouteName, "chat"), EnableOdoo: true, NumMessages: 10,
		})
	})
	if err != nil { // answer without a history rather than not at all
		log.Print("answering without the history: ", err)
		found = &client.Preprocess{}
	}
	if found.MuteStatus != nil && found.MuteStatus.Muted {
		return result{Muted: true}, nil
	}
	history := cmp.Or(found.History, &client.History{}).MsgHistory
	r := result{Reply: answer(e.Text, history, found.RelevantMessages), History: len(history)}
	_, err = b.hearth.Append(ctx, e.ChatID, []client.NewMessage{
		{Role: client.RoleUser, Content: e.Text}, {Role: client.RoleAssistant, Content: r.Reply},
	})
	if r.Saved = err == nil; !r.Saved {
		log.Print("the turn was not saved: ", err)
	}
	return r, nil
}

// answer stands for your model. Its prompt is the history, the relevant messages and the text.
func answer(text string, history []client.PromptMessage, relevant []client.ScoredMessage) string {
	return fmt.Sprintf("You said %q. I remember %d messages, %d of them to the point.", text, len(history), len(relevant))
}
