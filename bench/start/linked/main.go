// Command linked is an extension as one would write it that asks Weaviate with weaviate-go-client v4: it makes the client, registers, and
// waits for events. It registers for SHUTDOWN only, so it never asks. But the linker keeps the code of all that it could ask.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/weaviate/weaviate-go-client/v4/weaviate"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/filters"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/graphql"
	"github.com/weaviate/weaviate/entities/models"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "linked:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	database := weaviate.New(weaviate.Config{Scheme: "https", Host: os.Getenv("WEAVIATE_HOST")})
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2020-01-01/extension"
	header, _, err := call(ctx, http.MethodPost, api+"/register", `{"events":["SHUTDOWN"]}`, "Lambda-Extension-Name", filepath.Base(os.Args[0]))
	if err != nil {
		return err
	}
	for {
		const identifier = "Lambda-Extension-Identifier"
		_, body, err := call(ctx, http.MethodGet, api+"/event/next", "", identifier, header.Get(identifier))
		if err != nil {
			return err
		}
		var event struct {
			Type string `json:"eventType"`
		}
		if err := json.Unmarshal(body, &event); err != nil {
			return err
		}
		switch event.Type {
		case "SHUTDOWN":
			return nil
		case "INVOKE":
			if err := ask(ctx, database); err != nil {
				return err
			}
		}
	}
}

// ask does what an extension of a chatbot needs of Weaviate: the schema, a history, and a write.
func ask(ctx context.Context, database *weaviate.Client) error {
	if _, err := database.Schema().ClassGetter().WithClassName("Message").Do(ctx); err != nil {
		return err
	}
	reply, err := database.GraphQL().Get().WithClassName("Message").WithFields(graphql.Field{Name: "content"}).WithLimit(10).
		WithWhere(filters.Where().WithPath([]string{"chat_id"}).WithOperator(filters.Equal).WithValueText("a chat")).Do(ctx)
	if err != nil {
		return err
	}
	if len(reply.Errors) > 0 {
		return errors.New(reply.Errors[0].Message)
	}
	message := &models.Object{Class: "Message", Properties: map[string]any{"chat_id": "a chat", "content": "a text"}}
	_, err = database.Batch().ObjectsBatcher().WithObjects(message).Do(ctx)
	return err
}

func call(ctx context.Context, method, url, body, headerName, headerValue string) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set(headerName, headerValue)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", url, resp.Status, answer)
	}
	return resp.Header, answer, err
}
