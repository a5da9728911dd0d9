package bot

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/google/uuid"

	"hearth/internal/testing/lab"
)

// AppendElsewhere writes a message of each role without this Hearth.
func (b *Bot) AppendElsewhere(chat string) error {
	var errs []error
	for _, role := range roles() {
		value, createdAt := b.value()
		settle := b.oracle.begin(logOf(chat, role), write{value: value, createdAt: createdAt, elsewhere: true})
		errs = append(errs, b.Upstreams.Store(lab.Object{Class: "Message", ID: uuid.NewString(), Properties: map[string]any{
			"chat_id": chat, "role": role, "content": value, "created_at": createdAt.Format(time.RFC3339Nano),
		}}))
		settle(Stored)
	}
	return errors.Join(errs...)
}

// MuteElsewhere mutes a chat without this Hearth. It must be called before the first [Bot.Mute] or [Bot.SetMute] of the chat: then
// there is one object, which every later mute changes.
func (b *Bot) MuteElsewhere(chat string) error {
	value, until := b.mutedUntil()
	settle := b.oracle.begin(logOf(chat, "mute"), write{value: value, elsewhere: true})
	defer settle(Stored)
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(chat)).String()
	return b.Upstreams.Store(lab.Object{Class: "ChatStatus", ID: id, Properties: map[string]any{
		"chat_id": chat, "muted": true, "muted_until": until.Format(time.RFC3339Nano),
	}})
}

// CreateElsewhere creates a contact without this Hearth.
func (b *Bot) CreateElsewhere() error {
	value, _ := b.value()
	settle := b.oracle.begin(contacts, write{value: value, elsewhere: true})
	defer settle(Stored)
	_, err := b.Upstreams.CallOdoo("res.partner", "create", b.contact(value))
	return err
}

// Relabel changes the label of a field in Odoo's models, if Odoo is [Bot.Relabeled].
func (b *Bot) Relabel() { b.label.Add(1) }

// Relabeled wraps Odoo: the label of the field phone is the number of calls of Relabel. Other upstreams stay as they are.
func (b *Bot) Relabeled(upstream http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/fields_get") && r.URL.Path != "/jsonrpc" {
			upstream.ServeHTTP(w, r)
			return
		}
		label := fmt.Sprintf(`"string":"%d"`, b.label.Load())
		answer := httptest.NewRecorder()
		upstream.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.Code)
		_, _ = io.WriteString(w, strings.ReplaceAll(answer.Body.String(), `"string":"Phone"`, label))
	})
}

// WrittenOnce asks Odoo itself: every contact that was acknowledged must be there once, and any other at most once.
func (b *Bot) WrittenOnce() []error {
	answer, err := b.Upstreams.CallOdoo("res.partner", "search_read", map[string]any{"fields": []string{"name"}})
	if err != nil {
		return []error{err}
	}
	names, err := namesIn(answer)
	if err != nil {
		return []error{err}
	}
	times := map[string]int{}
	for _, name := range names {
		times[name]++
	}
	return b.oracle.once(contacts, times)
}
