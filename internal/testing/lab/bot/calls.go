package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"hearth/client"
	"hearth/internal/testing/lab"
)

// Preprocess asks for everything, and judges each part.
func (b *Bot) Preprocess(ctx context.Context, chat string, opts ...client.Option) error {
	asked := time.Now()
	p, err := b.Hearth.Preprocess(ctx, b.Request(chat), opts...)
	if err != nil {
		return err
	}
	for part, problem := range p.Errors {
		return fmt.Errorf("%s: %w", part, problem)
	}
	if p.MuteStatus == nil || p.History == nil {
		return fmt.Errorf("%w: a part is missing", ErrWrong)
	}
	return errors.Join(
		b.JudgeModels(p.OdooModels, b.Freshness),
		b.JudgeHistory(chat, p.History, asked, b.Freshness),
		b.JudgeMuted(chat, p.MuteStatus.Muted, asked, b.Freshness),
		b.JudgeRelevant(chat, p.RelevantMessages, asked, b.Freshness),
	)
}

// Request is the body of the preprocess that [Bot.Preprocess] asks for.
func (b *Bot) Request(chat string) client.PreprocessRequest {
	return client.PreprocessRequest{
		ChatID: chat, Text: Text, RouteName: lab.OdooRoute, EnableOdoo: true, NumMessages: Messages, RelevantCount: Relevant,
	}
}

// JudgeRelevant judges the answer to a search for [Text] and [Relevant] messages.
func (b *Bot) JudgeRelevant(chat string, got []client.ScoredMessage, asked time.Time, f Freshness) error {
	found := map[string][]write{} // in the order of relevance
	for _, m := range got {
		found[m.Role] = append(found[m.Role], write{value: m.Content})
	}
	if len(got) >= Relevant {
		asked = time.Time{} // no write is due, because a message that is missing may be less relevant
	}
	var errs []error
	for _, role := range roles() {
		errs = append(errs, b.oracle.newest(logOf(chat, role), found[role], 0, asked, f.Relevant))
	}
	return errors.Join(errs...)
}

// History asks for a chat's history.
func (b *Bot) History(ctx context.Context, chat string, opts ...client.Option) error {
	asked := time.Now()
	h, err := b.Hearth.History(ctx, chat, Messages, Messages, opts...)
	if err != nil {
		return err
	}
	return b.JudgeHistory(chat, h, asked, b.Freshness)
}

// JudgeHistory judges a history of [Messages] messages of each role.
func (b *Bot) JudgeHistory(chat string, h *client.History, asked time.Time, f Freshness) error {
	return b.judgeHistory(chat, h, Messages, asked, f.History)
}

func (b *Bot) judgeHistory(chat string, h *client.History, most int, asked time.Time, fresh time.Duration) error {
	if len(h.AllMessages) != len(h.UserMessages)+len(h.AssistantMessages) {
		return fmt.Errorf("%w: %d messages are %d and %d", ErrWrong, len(h.AllMessages), len(h.UserMessages), len(h.AssistantMessages))
	}
	var errs []error
	for i, list := range [][]client.Message{h.UserMessages, h.AssistantMessages} {
		got := make([]write, len(list))
		for j, m := range list {
			got[j] = write{value: m.Content, createdAt: m.CreatedAt}
		}
		errs = append(errs, b.oracle.newest(logOf(chat, roles()[i]), got, most, asked, fresh))
	}
	return errors.Join(errs...)
}

// JudgeWholeHistory judges a history of more messages than the chat has.
func (b *Bot) JudgeWholeHistory(chat string, h *client.History, asked time.Time) error {
	return b.judgeHistory(chat, h, 0, asked, 0)
}

// Append writes a message of each role.
func (b *Bot) Append(ctx context.Context, chat string) error {
	list, settle := b.NewMessages(chat)
	if _, err := b.Hearth.Append(ctx, chat, list); err != nil {
		return err
	}
	settle(Stored)
	return nil
}

// NewMessages returns a message of each role. The caller sends them.
func (b *Bot) NewMessages(chat string) ([]client.NewMessage, Settle) {
	var list []client.NewMessage
	var settles []Settle
	for _, role := range roles() {
		value, createdAt := b.value()
		settles = append(settles, b.oracle.begin(logOf(chat, role), write{value: value, createdAt: createdAt}))
		list = append(list, client.NewMessage{Role: role, Content: value, CreatedAt: createdAt})
	}
	return list, func(o Outcome) {
		for _, settle := range settles {
			settle(o)
		}
	}
}

// Mute asks whether a chat is muted.
func (b *Bot) Mute(ctx context.Context, chat string, opts ...client.Option) error {
	asked := time.Now()
	m, err := b.Hearth.Mute(ctx, chat, opts...)
	if err != nil {
		return err
	}
	return b.JudgeMute(chat, m, asked, b.Freshness)
}

// JudgeMute judges whether and until when a chat is muted.
func (b *Bot) JudgeMute(chat string, m client.Mute, asked time.Time, f Freshness) error {
	got := unmuted
	if m.Muted && m.Until != nil {
		got = m.Until.Format(time.RFC3339)
	}
	return b.judgeMute(chat, func(value string) bool { return value == got }, asked, f)
}

// JudgeMuted judges whether a chat is muted.
func (b *Bot) JudgeMuted(chat string, muted bool, asked time.Time, f Freshness) error {
	return b.judgeMute(chat, func(value string) bool { return muted == (value != unmuted) }, asked, f)
}

// judgeMute judges an answer that mayBe compares with the values of mutes.
func (b *Bot) judgeMute(chat string, mayBe func(value string) bool, asked time.Time, f Freshness) error {
	values, otherwise := b.oracle.latest(logOf(chat, "mute"), asked, f.Mute)
	if slices.ContainsFunc(values, mayBe) {
		return nil
	}
	return otherwise
}

// SetMute mutes and unmutes in turn.
func (b *Bot) SetMute(ctx context.Context, chat string) error {
	m, settle := b.NewMute(chat)
	if err := b.Hearth.SetMute(ctx, chat, m); err != nil {
		return err
	}
	settle(Stored)
	return nil
}

// NewMute returns in turn a mute and the end of a mute. The caller sends it.
func (b *Bot) NewMute(chat string) (client.Mute, Settle) {
	value, until := b.mutedUntil()
	m := client.Mute{Muted: true, Until: &until}
	if until.Second()%2 == 0 {
		value, m = unmuted, client.Mute{}
	}
	return m, b.oracle.begin(logOf(chat, "mute"), write{value: value})
}

// OdooModels asks for the models of Odoo.
func (b *Bot) OdooModels(ctx context.Context) error {
	m, err := b.Hearth.OdooModels(ctx, nil)
	if err != nil {
		return err
	}
	return b.JudgeModels(m, b.Freshness)
}

// JudgeModels judges Odoo's models, if Odoo is [Bot.Relabeled].
func (b *Bot) JudgeModels(m map[string]client.Model, f Freshness) error {
	var phone struct {
		String int64 `json:"string,string"`
	}
	if b.Unlabeled && m["res.partner"].Fields["phone"] != nil {
		return nil
	}
	if err := json.Unmarshal(m["res.partner"].Fields["phone"], &phone); err != nil {
		return fmt.Errorf("%w: the field phone is %q: %w", ErrWrong, m["res.partner"].Fields["phone"], err)
	}
	if now := b.label.Load(); phone.String < now-f.OdooModels || phone.String > now {
		return fmt.Errorf("%w: Odoo's models are of change %d, not %d", ErrStale, phone.String, now)
	}
	return nil
}

// OdooRead asks for the contacts in Odoo.
func (b *Bot) OdooRead(ctx context.Context, opts ...client.Option) error {
	asked := time.Now()
	answer, err := b.Hearth.OdooCall(ctx, b.ReadContacts(), opts...)
	if err != nil {
		return err
	}
	return b.JudgeContacts(answer, asked, b.Freshness)
}

// ReadContacts is the call that reads the contacts.
func (b *Bot) ReadContacts() client.Call {
	return client.Call{Model: "res.partner", Method: "search_read", Kwargs: map[string]any{
		"domain": []any{[]any{"phone", "=", b.phone()}}, "fields": []string{"name"}, "order": "id",
	}}
}

// JudgeContacts judges the result of [Bot.ReadContacts].
func (b *Bot) JudgeContacts(answer []byte, asked time.Time, f Freshness) error {
	names, err := namesIn(answer)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWrong, err)
	}
	got := make([]write, len(names))
	for i, name := range names {
		got[i].value = name
	}
	return b.oracle.newest(contacts, got, 0, asked, f.OdooRead)
}

func namesIn(answer []byte) (names []string, err error) {
	var list []struct{ Name string }
	err = json.Unmarshal(answer, &list)
	for _, contact := range list {
		names = append(names, contact.Name)
	}
	return names, err
}

// OdooCreate creates a contact.
func (b *Bot) OdooCreate(ctx context.Context) error {
	_, call, settle := b.NewContact()
	if _, err := b.Hearth.OdooCall(ctx, call); err != nil {
		return err
	}
	settle(Stored)
	return nil
}

// NewContact returns the name of a contact and the call that creates it. The caller sends it.
func (b *Bot) NewContact() (name string, create client.Call, settle Settle) {
	name, _ = b.value()
	settle = b.oracle.begin(contacts, write{value: name})
	return name, client.Call{Model: "res.partner", Method: "create", Kwargs: b.contact(name)}, settle
}

func (b *Bot) contact(name string) map[string]any {
	return map[string]any{"vals_list": []any{map[string]any{"name": name, "phone": b.phone()}}}
}
