package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"hearth/client"
	"hearth/client/wire"
	"hearth/internal/monitor"
	"hearth/internal/settings"
	"hearth/pool"
	"hearth/pool/weaviate"
)

// found is what a preprocess has found.
type found struct {
	history  []string // the messages' ids
	relevant int
	muted    bool
	models   []string
}

func (f found) String() string {
	muted := "not muted"
	if f.muted {
		muted = "muted"
	}
	return fmt.Sprintf("%d messages of the history, %d relevant ones, %s, Odoo models: %d", len(f.history), f.relevant, muted, len(f.models))
}

// sorted is f in an order that does not depend on the way.
func (f found) sorted() found {
	slices.Sort(f.history)
	slices.Sort(f.models)
	return f
}

// searches is how many questions a preprocess asks Weaviate.
const searches = 4

// straight asks the upstreams what Hearth asks them, but opens a connection for each call, and remembers and repeats nothing. Searches at
// the same time would share a connection, so each has an app of its own, with one connection to Weaviate. The first one asks Odoo too.
type straight struct {
	models []string // of Odoo
	apps   [searches]*app
}

func newStraight(environ []string, stderr io.Writer, options Options) (*straight, error) {
	environ = append(slices.Clip(environ), "HEARTH_WEAVIATE_CONNECTIONS=1")
	options.freshConnections = true
	options.Policy = pool.Policy{NoRace: true, NoReplay: true, NoLook: true, NoBreaker: true}
	s := &straight{}
	for i := range s.apps {
		settings, a, err := loadForCommand(environ, stderr, options)
		if err != nil {
			s.close()
			return nil, err
		}
		s.models, s.apps[i] = settings.OdooModels, a
	}
	return s, nil
}

func (s *straight) close() {
	for _, a := range s.apps {
		if a != nil {
			a.close()
		}
	}
}

// learn asks what is asked only once in a process.
func (s *straight) learn(ctx context.Context) error {
	for _, a := range s.apps {
		if err := a.weaviate.LoadClasses(ctx); err != nil {
			return err
		}
	}
	if odoo := s.apps[0].odoo; odoo != nil {
		return odoo.Connect(ctx)
	}
	return nil
}

func (s *straight) requests(context.Context) (n int64, _ error) {
	for _, a := range s.apps {
		for _, p := range a.pools {
			n += p.Stats().Requests
		}
	}
	return n, nil
}

// part is a part of a preprocess.
type part func(ctx context.Context) error

// ask does a preprocess: the parts of a stage at the same time, one stage after another. The first two parts are the history.
func (s *straight) ask(ctx context.Context, q question, stages func([]part) [][]part) (f found, _ string, err error) {
	roles := []wire.Role{wire.RoleUser, wire.RoleAssistant}
	var history [2][]string
	recent := func(i int) part {
		return func(ctx context.Context) error {
			client := s.apps[i].weaviate
			chat, err := client.MessageChat(ctx, q.chat)
			if err != nil {
				return err
			}
			pages, err := client.Recent(ctx, chat, roles[i:i+1], compareHistory, compareHistory)
			for _, p := range pages {
				for _, m := range p.Messages[:min(len(p.Messages), compareHistory)] {
					history[i] = append(history[i], m.ID)
				}
			}
			return err
		}
	}
	mute := func(ctx context.Context) error {
		client := s.apps[2].weaviate
		chat, err := client.MuteChat(ctx, q.chat)
		if err != nil {
			return err
		}
		mute, err := client.Mute(ctx, chat)
		f.muted = mute.Muted
		return err
	}
	relevant := func(ctx context.Context) error {
		client := s.apps[3].weaviate
		chat, err := client.MessageChat(ctx, q.chat)
		if err != nil {
			return err
		}
		list, _, err := client.Relevant(ctx, weaviate.Query{Chat: chat, Text: q.text, Mode: weaviate.Auto, Roles: roles, Count: compareRelevant})
		f.relevant = len(list)
		return err
	}
	parts := []part{recent(0), recent(1), mute, relevant}
	if odoo := s.apps[0].odoo; odoo != nil {
		for _, name := range s.models {
			f.models = append(f.models, name)
			parts = append(parts, func(ctx context.Context) error {
				_, err := odoo.Model(ctx, name)
				return err
			})
		}
	}
	for _, stage := range stages(parts) {
		g, ctx := errgroup.WithContext(ctx)
		for _, p := range stage {
			g.Go(func() error { return p(ctx) })
		}
		if err := g.Wait(); err != nil {
			return f, "", err
		}
	}
	f.history = slices.Concat(history[0], history[1])
	return f.sorted(), "", nil
}

// through asks a Hearth that runs in this process.
type through struct {
	hearth *client.Client
	route  string // that wants Odoo's models
	odoo   bool
	close  func() error
}

// startThrough starts a Hearth for this process alone: on a port that is free and on a socket, with a token that nobody else knows.
func startThrough(ctx context.Context, s settings.Settings, stderr io.Writer, options Options) (_ *through, err error) {
	dir, err := os.MkdirTemp("", "hearth")
	if err != nil {
		return nil, err
	}
	s.Addr, s.Socket, s.Token, s.RuntimeAPI = "127.0.0.1:0", filepath.Join(dir, "s"), rand.Text(), ""
	if len(s.Socket) > 107 {
		return nil, errors.Join(fmt.Errorf("TMPDIR is too long for a socket in it: %s has more than 107 bytes", s.Socket), os.RemoveAll(dir))
	}
	a := newApp(s, nil, stderr, options)
	a.monitor = monitor.New(monitor.Config{})
	if err := a.prepare(ctx, "", s, nil, func() {}); err != nil {
		a.close()
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	hearth, err := client.New(client.Config{Socket: s.Socket, Token: s.Token})
	if err != nil {
		a.close()
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	ctx, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- a.run(ctx, s, nil) }()
	return &through{hearth: hearth, route: s.OdooRoutes[0], odoo: s.OdooURL != "", close: func() error {
		hearth.Close()
		end()
		return errors.Join(<-ended, os.RemoveAll(dir))
	}}, nil
}

func (t *through) requests(ctx context.Context) (n int64, err error) {
	upstreams, err := t.hearth.PoolStats(ctx)
	for _, u := range upstreams {
		n += u.Requests
	}
	return n, err
}

func (t *through) ask(ctx context.Context, q question) (f found, held string, err error) {
	got, err := t.hearth.Preprocess(ctx, client.PreprocessRequest{
		ChatID: q.chat, Text: q.text, RouteName: t.route, EnableOdoo: t.odoo, NumMessages: compareHistory, RelevantCount: compareRelevant,
	})
	if err != nil {
		return f, "", err
	}
	for _, name := range slices.Sorted(maps.Keys(got.Errors)) {
		err = errors.Join(err, fmt.Errorf("%s: %w", name, got.Errors[name]))
	}
	if err != nil {
		return f, "", err
	}
	for _, m := range got.History.AllMessages {
		f.history = append(f.history, m.ID)
	}
	f.relevant, f.muted, f.models = len(got.RelevantMessages), got.MuteStatus.Muted, slices.Collect(maps.Keys(got.OdooModels))
	return f.sorted(), heldOf(got.Cache), nil
}

// heldOf is what the cache held, by a reply's verdicts on its parts.
func heldOf(verdicts map[string]string) string {
	var held []string
	for _, part := range []string{wire.PartHistory, wire.PartRelevant, wire.PartMute, wire.PartOdoo} {
		if verdict := verdicts[part]; verdict == "hit" || verdict == "stale" {
			held = append(held, part)
		}
	}
	switch len(held) {
	case 0:
		return "nothing"
	case len(verdicts):
		return "everything"
	}
	return strings.Join(held, ", ")
}
