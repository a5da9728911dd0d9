package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"hearth/client"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/bot"
)

// kind is a request that an invocation times twice: first after the thaw, and later again.
type kind struct {
	name  string
	calls int  // one after another
	odoo  bool // asks Odoo
	do    func(b *bot.Bot, ctx context.Context) error
}

// kinds are requests that the cache never answers.
func kinds() []kind {
	fetch, chat := client.WithHeader("Cache-Control", "no-cache"), lab.ChatID(0)
	return []kind{
		{"preprocess", 1, true, func(b *bot.Bot, ctx context.Context) error { return b.Preprocess(ctx, chat, fetch) }},
		{"history", 1, false, func(b *bot.Bot, ctx context.Context) error { return b.History(ctx, chat, fetch) }},
		{"mute", 1, false, func(b *bot.Bot, ctx context.Context) error { return b.Mute(ctx, chat, fetch) }},
		{"messages", 1, false, func(b *bot.Bot, ctx context.Context) error { return b.Append(ctx, chat) }},
		{"set mute", 2, false, func(b *bot.Bot, ctx context.Context) error { return b.SetMute(ctx, chat) }},
		{"odoo read", 1, true, func(b *bot.Bot, ctx context.Context) error { return b.OdooRead(ctx, fetch) }},
		{"odoo write", 1, true, func(b *bot.Bot, ctx context.Context) error { return b.OdooCreate(ctx) }},
	}
}

// call is a request that the handler makes.
type call struct {
	name string
	do   func(context.Context) error
}

// handle is the handler: one invocation. The sandbox is frozen as soon as it returns.
func (s *sandbox) handle(ctx context.Context, _ []byte) ([]byte, error) {
	k := kinds()[max(0, slices.IndexFunc(kinds(), func(k kind) bool { return k.name == s.round.first }))]
	first := s.try(ctx, call{"first: " + k.name, func(ctx context.Context) error { return k.do(s.bot, ctx) }})
	s.tally.first(s.round, k.name, k.odoo && s.narrow, first)

	history := func(chat string) call {
		return call{"history", func(ctx context.Context) error { return s.bot.History(ctx, chat) }}
	}
	mute := func(chat string) call {
		return call{"mute", func(ctx context.Context) error { return s.bot.Mute(ctx, chat) }}
	}
	read := call{"odoo read", func(ctx context.Context) error { return s.bot.OdooRead(ctx) }}
	create := call{"odoo write", s.bot.OdooCreate}
	chat := lab.ChatID(s.round.chat)
	preprocess := call{"preprocess", func(ctx context.Context) error { return s.bot.Preprocess(ctx, chat) }}
	write := call{"messages", func(ctx context.Context) error { return s.bot.Append(ctx, chat) }}
	setMute := call{"set mute", func(ctx context.Context) error { return s.bot.SetMute(ctx, chat) }}

	all := []call{read, preprocess}
	for n := range chats {
		all = append(all, history(lab.ChatID(n)), mute(lab.ChatID(n)))
	}
	s.together(ctx, all...)
	s.together(ctx, write, setMute, history(chat), create, read)
	s.together(ctx, history(chat), mute(chat), read)
	s.tally.warm(s.round, k.name, s.try(ctx, call{k.name, func(ctx context.Context) error { return k.do(s.bot, ctx) }}))
	s.together(ctx, preprocess, write, create)
	s.try(ctx, call{"odoo models", s.bot.OdooModels}) // answered at once with what is stale: the refresh behind it freezes on its way
	return nil, nil
}

func (s *sandbox) together(ctx context.Context, calls ...call) {
	var all sync.WaitGroup
	for _, c := range calls {
		all.Go(func() { s.try(ctx, c) })
	}
	all.Wait()
}

// span is when something took place.
type span struct{ from, to time.Time }

// try makes a request, and counts it and what is wrong with its answer.
func (s *sandbox) try(ctx context.Context, c call) span {
	took := span{from: time.Now()}
	err := c.do(ctx)
	took.to = time.Now()
	s.tally.requested()
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, bot.ErrStale) && !errors.Is(err, bot.ErrWrong):
		s.tally.staler(s, c.name, err)
	default:
		s.tally.failed(s, c.name, fmt.Errorf("after %v: %w", took.to.Sub(took.from).Round(time.Millisecond), err))
	}
	return took
}
