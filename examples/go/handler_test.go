package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"hearth/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newBot is a bot behind something that answers every preprocess with found and takes every message.
func newBot(t *testing.T, found string) (b *bot, written *string) {
	written = new(string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", client.ServerName)
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == client.PathPreprocess {
			_, _ = io.WriteString(w, found)
			return
		}
		if r.URL.Path == client.PathTimings {
			var sent client.Timings
			if err := json.Unmarshal(body, &sent); err != nil || len(sent.Timings) != 2 || sent.Timings[1].Operation != "lambda_handler_total" {
				t.Errorf("the timings are %s", body)
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		*written = string(body)
		_, _ = io.WriteString(w, `{"ids":["1","2"]}`)
	}))
	t.Cleanup(s.Close)
	hearth, err := client.New(client.Config{Addr: s.Listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hearth.Close)
	return &bot{hearth}, written
}

func TestATurn(t *testing.T) {
	b, written := newBot(t, `{"mute_status":{"muted":false},"relevant_messages":[{"id":"1"}],"history":{"msg_history":[{},{},{}]}}`)
	got, err := b.handle(t.Context(), event{ChatID: "42", Text: "Hello"})
	want := result{Reply: `You said "Hello". I remember 3 messages, 1 of them to the point.`, History: 3, Saved: true}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	var messages []client.NewMessage
	if err := json.Unmarshal([]byte(*written), &messages); err != nil || len(messages) != 2 || messages[1].Content != want.Reply {
		t.Errorf("%s, %v", *written, err)
	}
}

func TestAMutedBotIsSilent(t *testing.T) {
	b, written := newBot(t, `{"mute_status":{"muted":true}}`)
	if got, err := b.handle(t.Context(), event{ChatID: "42", Text: "Hello"}); err != nil || got != (result{Muted: true}) || *written != "" {
		t.Errorf("%+v, %v, %s", got, err, *written)
	}
}

func TestABotWithoutHearthAnswersAllTheSame(t *testing.T) {
	hearth, err := client.New(client.Config{Socket: t.TempDir() + "/none"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&bot{hearth}).handle(t.Context(), event{ChatID: "42", Text: "Hello"})
	if err != nil || got.Reply == "" || got.Saved {
		t.Errorf("%+v, %v", got, err)
	}
}
