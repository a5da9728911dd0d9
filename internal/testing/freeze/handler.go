package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"hearth/client"
)

// kind is a request whose time is taken, first after a thaw and later again.
type kind struct {
	name  string
	calls int  // one after another
	odoo  bool // asks it
	do    func(s *sandbox, ctx context.Context) error
}

// kinds always go to an upstream.
func kinds() []kind {
	fetch := client.WithHeader("Cache-Control", "no-cache")
	return []kind{
		{"preprocess", 1, true, func(s *sandbox, ctx context.Context) error { return s.preprocess(ctx, 0, fetch) }},
		{"history", 1, false, func(s *sandbox, ctx context.Context) error { return s.history(ctx, 0, fetch) }},
		{"mute", 1, false, func(s *sandbox, ctx context.Context) error { return s.mute(ctx, 0, fetch) }},
		{"messages", 1, false, func(s *sandbox, ctx context.Context) error { return s.append(ctx, 0) }},
		{"set mute", 2, false, func(s *sandbox, ctx context.Context) error { return s.setMute(ctx, 0) }},
		{"odoo read", 1, true, func(s *sandbox, ctx context.Context) error { return s.read(ctx, fetch) }},
		{"odoo write", 1, true, func(s *sandbox, ctx context.Context) error { return s.create(ctx) }},
	}
}

// handle is the handler: one invocation. The sandbox is frozen as soon as it returns.
func (s *sandbox) handle(ctx context.Context, _ []byte) ([]byte, error) {
	k := kinds()[max(0, slices.IndexFunc(kinds(), func(k kind) bool { return k.name == s.round.first }))]
	s.tally.first(s.round, k.name, k.odoo && s.narrow, s.try(ctx, "first: "+k.name, func(ctx context.Context) error { return k.do(s, ctx) }))

	every := func(name string, do func(ctx context.Context, chat int) error) (calls []call) {
		for chat := range chats {
			calls = append(calls, call{name, func(ctx context.Context) error { return do(ctx, chat) }})
		}
		return calls
	}
	history := func(ctx context.Context, chat int) error { return s.history(ctx, chat) }
	mute := func(ctx context.Context, chat int) error { return s.mute(ctx, chat) }
	one := func(name string, do func(ctx context.Context, chat int) error) call {
		return call{name, func(ctx context.Context) error { return do(ctx, s.round.chat) }}
	}
	read := call{"odoo read", func(ctx context.Context) error { return s.read(ctx) }}
	create := call{"odoo write", s.create}
	preprocess := one("preprocess", func(ctx context.Context, chat int) error { return s.preprocess(ctx, chat) })

	s.together(ctx, slices.Concat(every("history", history), every("mute", mute), []call{read, preprocess}))
	s.together(ctx, []call{one("messages", s.append), one("set mute", s.setMute), one("history", history), create, read})
	s.together(ctx, []call{one("history", history), one("mute", mute), read})
	s.tally.warm(s.round, k.name, s.try(ctx, k.name, func(ctx context.Context) error { return k.do(s, ctx) }))
	s.together(ctx, []call{preprocess, one("messages", s.append), create})
	s.try(ctx, "odoo models", s.models) // answered at once with what is stale: the refresh behind it freezes on its way
	return nil, nil
}

type call struct {
	name string
	do   func(context.Context) error
}

func (s *sandbox) together(ctx context.Context, calls []call) {
	var all sync.WaitGroup
	for _, c := range calls {
		all.Go(func() { s.try(ctx, c.name, c.do) })
	}
	all.Wait()
}

// span is when something took place.
type span struct{ from, to time.Time }

// try makes a request, which is counted, and so is what is wrong with its answer.
func (s *sandbox) try(ctx context.Context, name string, do func(context.Context) error) span {
	took := span{from: time.Now()}
	err := do(ctx)
	took.to = time.Now()
	s.tally.requested()
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, errStale) && !errors.Is(err, errWrong):
		s.tally.staler(s, name, err)
	default:
		s.tally.failed(s, name, fmt.Errorf("after %v: %w", took.to.Sub(took.from).Round(time.Millisecond), err))
	}
	return took
}

func (s *sandbox) preprocess(ctx context.Context, n int, opts ...client.Option) error {
	began := time.Now()
	p, err := s.hearth.Preprocess(ctx, client.PreprocessRequest{
		ChatID: chat(n), Text: "value", RouteName: "odoo_erp", EnableOdoo: true, NumMessages: messages, RelevantCount: relevant,
	}, opts...)
	if err != nil {
		return err
	}
	for part, problem := range p.Errors {
		return fmt.Errorf("%s: %w", part, problem)
	}
	if p.MuteStatus == nil || p.History == nil {
		return fmt.Errorf("%w: a part is missing", errWrong)
	}
	found := map[string][]write{} // in the order of relevance
	for _, m := range p.RelevantMessages {
		found[m.Role] = append(found[m.Role], write{value: m.Content})
	}
	since := began
	if len(p.RelevantMessages) >= relevant {
		since = time.Time{} // nothing is due
	}
	errs := []error{
		s.judgeModels(p.OdooModels),
		s.judgeHistory(n, p.History, began),
		s.oracle.latest(log(n, "mute"), func(value string) bool { return p.MuteStatus.Muted == (value != unmuted) }, began, freshMute),
	}
	for _, role := range roles() {
		errs = append(errs, s.oracle.newest(log(n, role), found[role], 0, since, freshRelevant))
	}
	return errors.Join(errs...)
}

func (s *sandbox) history(ctx context.Context, n int, opts ...client.Option) error {
	began := time.Now()
	h, err := s.hearth.History(ctx, chat(n), messages, messages, opts...)
	if err != nil {
		return err
	}
	return s.judgeHistory(n, h, began)
}

func (s *sandbox) judgeHistory(n int, h *client.History, began time.Time) error {
	if len(h.AllMessages) != len(h.UserMessages)+len(h.AssistantMessages) {
		return fmt.Errorf("%w: %d messages are %d and %d", errWrong, len(h.AllMessages), len(h.UserMessages), len(h.AssistantMessages))
	}
	var errs []error
	for i, list := range [][]client.Message{h.UserMessages, h.AssistantMessages} {
		got := make([]write, len(list))
		for j, m := range list {
			got[j] = write{value: m.Content, place: m.CreatedAt}
		}
		errs = append(errs, s.oracle.newest(log(n, roles()[i]), got, messages, began, freshHistory))
	}
	return errors.Join(errs...)
}

func (s *sandbox) append(ctx context.Context, n int) error {
	var list []client.NewMessage
	var acknowledged []func()
	for _, role := range roles() {
		value, place := s.value()
		acknowledged = append(acknowledged, s.oracle.begin(log(n, role), write{value: value, place: place}))
		list = append(list, client.NewMessage{Role: role, Content: value, CreatedAt: place})
	}
	if _, err := s.hearth.Append(ctx, chat(n), list); err != nil {
		return err
	}
	for _, ack := range acknowledged {
		ack()
	}
	return nil
}

func (s *sandbox) mute(ctx context.Context, n int, opts ...client.Option) error {
	began := time.Now()
	m, err := s.hearth.Mute(ctx, chat(n), opts...)
	if err != nil {
		return err
	}
	got := unmuted
	if m.Muted && m.Until != nil {
		got = m.Until.Format(time.RFC3339)
	}
	return s.oracle.latest(log(n, "mute"), func(value string) bool { return value == got }, began, freshMute)
}

// setMute mutes and unmutes in turn. Nobody else sets the same chat's mute at the same time.
func (s *sandbox) setMute(ctx context.Context, n int) error {
	value, until := s.mutedUntil()
	m := client.Mute{Muted: true, Until: &until}
	if until.Second()%2 == 0 {
		value, m = unmuted, client.Mute{}
	}
	acknowledged := s.oracle.begin(log(n, "mute"), write{value: value})
	if err := s.hearth.SetMute(ctx, chat(n), m); err != nil {
		return err
	}
	acknowledged()
	return nil
}

func (s *sandbox) models(ctx context.Context) error {
	m, err := s.hearth.OdooModels(ctx, nil)
	if err != nil {
		return err
	}
	return s.judgeModels(m)
}

// judgeModels wants the field's label of at most three freezes ago: stale for an hour is well, but each answer has it
// refreshed, and a refresh that a freeze overtakes must end, or make room for the next.
func (s *sandbox) judgeModels(m map[string]client.Model) error {
	const most = 3
	var phone struct {
		String int64 `json:"string,string"`
	}
	if err := json.Unmarshal(m["res.partner"].Fields["phone"], &phone); err != nil {
		return fmt.Errorf("%w: the field phone is %q: %w", errWrong, m["res.partner"].Fields["phone"], err)
	}
	if now := s.label.Load(); phone.String < now-most || phone.String > now {
		return fmt.Errorf("%w: Odoo's models are of freeze %d, not %d", errStale, phone.String, now)
	}
	return nil
}

func (s *sandbox) read(ctx context.Context, opts ...client.Option) error {
	began := time.Now()
	answer, err := s.hearth.OdooCall(ctx, client.Call{Model: "res.partner", Method: "search_read", Kwargs: map[string]any{
		"domain": []any{[]any{"phone", "=", contacts}}, "fields": []string{"name"}, "order": "id",
	}}, opts...)
	if err != nil {
		return err
	}
	var list []struct{ Name string }
	if err := json.Unmarshal(answer, &list); err != nil {
		return err
	}
	got := make([]write, len(list))
	for i, c := range list {
		got[i].value = c.Name
	}
	return s.oracle.newest(contacts, got, 0, began, freshOdoo)
}

func (s *sandbox) create(ctx context.Context) error {
	value, _ := s.value()
	acknowledged := s.oracle.begin(contacts, write{value: value})
	_, err := s.hearth.OdooCall(ctx, client.Call{Model: "res.partner", Method: "create", Kwargs: map[string]any{
		"vals_list": []any{map[string]any{"name": value, "phone": contacts}},
	}})
	if err != nil {
		return err
	}
	acknowledged()
	return nil
}

// The oracle's logs: of a chat's messages by role, of its mute, and of Odoo's contacts.
func log(n int, what string) string { return chat(n) + " " + what }

func chat(n int) string { return fmt.Sprintf("chat/%d", n) }

func roles() []string { return []string{"user", "assistant"} }

const (
	contacts = "contacts" // also what they have in common
	unmuted  = "not muted"
)

// value is one that was never written before, and a time later than all before.
func (s *sandbox) value() (string, time.Time) {
	n := s.next()
	return fmt.Sprintf("value %d of sandbox %d", n, s.number), time.Unix(1_700_000_000, 0).UTC().Add(time.Duration(n) * time.Millisecond)
}

// mutedUntil is the end of a mute that no other has.
func (s *sandbox) mutedUntil() (value string, until time.Time) {
	until = time.Unix(4_000_000_000, 0).UTC().Add(time.Duration(s.next()) * time.Second)
	return until.Format(time.RFC3339), until
}

func (s *sandbox) next() int {
	s.oracle.mu.Lock()
	defer s.oracle.mu.Unlock()
	s.written++
	return s.written
}
