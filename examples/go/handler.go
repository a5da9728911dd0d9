// Command go is a chatbot behind Hearth: what came before is fetched at once, the answer is written back, and the next
// turn sees it. Start reading at handle.
//
// It is a module of its own, as yours will be: see go.mod.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

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

func (b *bot) handle(ctx context.Context, e event) (result, error) {
	found, err := b.hearth.Preprocess(ctx, client.PreprocessRequest{
		ChatID: e.ChatID, Text: e.Text, RouteName: cmp.Or(e.RouteName, "chat"), EnableOdoo: true, NumMessages: 10,
	})
	if err != nil { // a bot that forgets is better than one that is silent
		log.Print("answering without what came before: ", err)
		found = &client.Preprocess{}
	}
	if found.MuteStatus != nil && found.MuteStatus.Muted {
		return result{Muted: true}, nil
	}
	history := cmp.Or(found.History, &client.History{}).MsgHistory
	r := result{Reply: answer(e.Text, history, found.RelevantMessages), History: len(history)}
	_, err = b.hearth.Append(ctx, e.ChatID, []client.NewMessage{
		{Role: "user", Content: e.Text}, {Role: "assistant", Content: r.Reply},
	})
	if r.Saved = err == nil; !r.Saved {
		log.Print("the turn was not saved: ", err)
	}
	return r, nil
}

// answer is where your model goes; its prompt is the history, what is relevant, and the text.
func answer(text string, history []client.PromptMessage, relevant []client.ScoredMessage) string {
	return fmt.Sprintf("You said %q. I remember %d messages, %d of them to the point.", text, len(history), len(relevant))
}
