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
	p, err := b.Hearth.Preprocess(ctx, client.PreprocessRequest{
		ChatID: chat, Text: "value", RouteName: lab.OdooRoute, EnableOdoo: true, NumMessages: messages, RelevantCount: relevant,
	}, opts...)
	if err != nil {
		return err
	}
	for part, problem := range p.Errors {
		return fmt.Errorf("%s: %w", part, problem)
	}
	if p.MuteStatus == nil || p.History == nil {
		return fmt.Errorf("%w: a part is missing", ErrWrong)
	}
	mayBe := func(value string) bool { return p.MuteStatus.Muted == (value != unmuted) }
	return errors.Join(
		b.judgeModels(p.OdooModels),
		b.judgeHistory(chat, p.History, asked),
		b.judgeMute(chat, mayBe, asked),
		b.judgeRelevant(chat, p.RelevantMessages, asked),
	)
}

func (b *Bot) judgeRelevant(chat string, got []client.ScoredMessage, asked time.Time) error {
	found := map[string][]write{} // in the order of relevance
	for _, m := range got {
		found[m.Role] = append(found[m.Role], write{value: m.Content})
	}
	if len(got) >= relevant {
		asked = time.Time{} // what is not among them may be less relevant, so nothing is due
	}
	var errs []error
	for _, role := range roles() {
		errs = append(errs, b.oracle.newest(logOf(chat, role), found[role], 0, asked, b.Freshness.Relevant))
	}
	return errors.Join(errs...)
}

// History asks for a chat's history.
func (b *Bot) History(ctx context.Context, chat string, opts ...client.Option) error {
	asked := time.Now()
	h, err := b.Hearth.History(ctx, chat, messages, messages, opts...)
	if err != nil {
		return err
	}
	return b.judgeHistory(chat, h, asked)
}

func (b *Bot) judgeHistory(chat string, h *client.History, asked time.Time) error {
	if len(h.AllMessages) != len(h.UserMessages)+len(h.AssistantMessages) {
		return fmt.Errorf("%w: %d messages are %d and %d", ErrWrong, len(h.AllMessages), len(h.UserMessages), len(h.AssistantMessages))
	}
	var errs []error
	for i, list := range [][]client.Message{h.UserMessages, h.AssistantMessages} {
		got := make([]write, len(list))
		for j, m := range list {
			got[j] = write{value: m.Content, createdAt: m.CreatedAt}
		}
		errs = append(errs, b.oracle.newest(logOf(chat, roles()[i]), got, messages, asked, b.Freshness.History))
	}
	return errors.Join(errs...)
}

// Append writes a message of each role.
func (b *Bot) Append(ctx context.Context, chat string) error {
	var list []client.NewMessage
	var acknowledge []func()
	for _, role := range roles() {
		value, createdAt := b.value()
		acknowledge = append(acknowledge, b.oracle.begin(logOf(chat, role), write{value: value, createdAt: createdAt}))
		list = append(list, client.NewMessage{Role: role, Content: value, CreatedAt: createdAt})
	}
	if _, err := b.Hearth.Append(ctx, chat, list); err != nil {
		return err
	}
	for _, ack := range acknowledge {
		ack()
	}
	return nil
}

// Mute asks whether a chat is muted.
func (b *Bot) Mute(ctx context.Context, chat string, opts ...client.Option) error {
	asked := time.Now()
	m, err := b.Hearth.Mute(ctx, chat, opts...)
	if err != nil {
		return err
	}
	got := unmuted
	if m.Muted && m.Until != nil {
		got = m.Until.Format(time.RFC3339)
	}
	return b.judgeMute(chat, func(value string) bool { return value == got }, asked)
}

// judgeMute judges an answer that mayBe compares with the values of mutes.
func (b *Bot) judgeMute(chat string, mayBe func(value string) bool, asked time.Time) error {
	values, otherwise := b.oracle.latest(logOf(chat, "mute"), asked, b.Freshness.Mute)
	if slices.ContainsFunc(values, mayBe) {
		return nil
	}
	return otherwise
}

// SetMute mutes and unmutes in turn.
func (b *Bot) SetMute(ctx context.Context, chat string) error {
	value, until := b.mutedUntil()
	m := client.Mute{Muted: true, Until: &until}
	if until.Second()%2 == 0 {
		value, m = unmuted, client.Mute{}
	}
	acknowledge := b.oracle.begin(logOf(chat, "mute"), write{value: value})
	if err := b.Hearth.SetMute(ctx, chat, m); err != nil {
		return err
	}
	acknowledge()
	return nil
}

// OdooModels asks for the models of Odoo.
func (b *Bot) OdooModels(ctx context.Context) error {
	m, err := b.Hearth.OdooModels(ctx, nil)
	if err != nil {
		return err
	}
	return b.judgeModels(m)
}

func (b *Bot) judgeModels(m map[string]client.Model) error {
	var phone struct {
		String int64 `json:"string,string"`
	}
	if err := json.Unmarshal(m["res.partner"].Fields["phone"], &phone); err != nil {
		return fmt.Errorf("%w: the field phone is %q: %w", ErrWrong, m["res.partner"].Fields["phone"], err)
	}
	if now := b.label.Load(); phone.String < now-b.Freshness.OdooModels || phone.String > now {
		return fmt.Errorf("%w: Odoo's models are of change %d, not %d", ErrStale, phone.String, now)
	}
	return nil
}

// OdooRead asks for the contacts in Odoo.
func (b *Bot) OdooRead(ctx context.Context, opts ...client.Option) error {
	asked := time.Now()
	answer, err := b.Hearth.OdooCall(ctx, client.Call{Model: "res.partner", Method: "search_read", Kwargs: map[string]any{
		"domain": []any{[]any{"phone", "=", contacts}}, "fields": []string{"name"}, "order": "id",
	}}, opts...)
	if err != nil {
		return err
	}
	names, err := namesIn(answer)
	if err != nil {
		return err
	}
	got := make([]write, len(names))
	for i, name := range names {
		got[i].value = name
	}
	return b.oracle.newest(contacts, got, 0, asked, b.Freshness.OdooRead)
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
	value, _ := b.value()
	acknowledge := b.oracle.begin(contacts, write{value: value})
	if _, err := b.Hearth.OdooCall(ctx, client.Call{Model: "res.partner", Method: "create", Kwargs: contact(value)}); err != nil {
		return err
	}
	acknowledge()
	return nil
}

func contact(name string) map[string]any {
	return map[string]any{"vals_list": []any{map[string]any{"name": name, "phone": contacts}}}
}
