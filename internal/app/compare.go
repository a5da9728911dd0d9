package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"hearth/internal/figures"
	"hearth/internal/settings"
)

// question is what a preprocess of the comparison asks.
type question struct{ chat, text string }

// comparison is what compare was asked for, and what came of it.
type comparison struct {
	question
	rounds   int
	settings settings.Settings
	ways     []*way
}

// way is one way to do a preprocess.
type way struct {
	figures.Way
	times    int                                                         // in a round
	prepare  func(ctx context.Context) error                             // drops from the cache what must not be held; nil: nothing
	ask      func(ctx context.Context) (f found, held string, err error) // what is measured
	requests func(ctx context.Context) (int64, error)                    // sent to the upstreams up to now
	found    found                                                       // at last
	failed   int
	last     error // of the times that it failed
}

const (
	compareHistory  = 10 // messages of each role
	compareRelevant = 5
	askedAgain      = 10 // times in a round: this way takes the least time, and its spread is the largest
)

// compare times what a handler asks before it can answer: straight from the upstreams that the settings name, and through a Hearth that it
// starts in this process for as long as it runs. It writes nothing to the upstreams.
func compare(ctx context.Context, args, environ []string, out, stderr io.Writer, options Options) (err error) {
	c, err := comparisonOf(args, stderr)
	if err != nil {
		return err
	}
	if c.settings, err = commandSettings(environ); err != nil {
		return err
	}
	if c.settings.WeaviateURL == "" {
		return errors.New("HEARTH_WEAVIATE_URL is not set: there is nothing to compare")
	}
	through, err := startThrough(ctx, c.settings, stderr, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, through.close()) }()
	serial, err := newStraight(append(slices.Clip(environ), "HEARTH_ODOO_CONNECTIONS=1"), stderr, options)
	if err != nil {
		return err
	}
	defer serial.close()
	parallel, err := newStraight(environ, stderr, options)
	if err != nil {
		return err
	}
	defer parallel.close()
	for _, d := range []*straight{serial, parallel} {
		if err := d.learn(ctx); err != nil {
			return fmt.Errorf("%w\nhearth check says more", err)
		}
	}
	c.addWays(serial, parallel, through)
	if err := c.run(ctx, stderr); err != nil {
		return err
	}
	return c.report(out)
}

// comparisonOf reads the flags.
func comparisonOf(args []string, stderr io.Writer) (*comparison, error) {
	c := &comparison{}
	flags := flag.NewFlagSet("hearth compare", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.chat, "chat", "", "the id of a chat that has messages")
	flags.StringVar(&c.text, "text", "", "what the user of that chat might write next: relevant messages are looked for by it")
	flags.IntVar(&c.rounds, "rounds", 5, "rounds to measure, from 1 to 100")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	var faults []error
	if flags.NArg() > 0 {
		faults = append(faults, fmt.Errorf("%q is no flag: put a text of several words into quotes", flags.Arg(0)))
	}
	if c.chat == "" {
		faults = append(faults, errors.New("--chat is missing: the id of a chat that has messages"))
	}
	if strings.TrimSpace(c.text) == "" {
		faults = append(faults, errors.New("--text is missing: what the user of that chat might write next"))
	}
	if c.rounds < 1 || c.rounds > 100 {
		faults = append(faults, fmt.Errorf("--rounds is %d: it must be from 1 to 100", c.rounds))
	}
	return c, errors.Join(faults...)
}

// addWays adds the demo's ways.
func (c *comparison) addWays(serial, parallel *straight, t *through) {
	add := func(name string, d *straight, stages func([]part) [][]part) {
		c.ways = append(c.ways, &way{
			Way: figures.Way{Name: name}, times: 1, requests: d.requests,
			ask: func(ctx context.Context) (found, string, error) { return d.ask(ctx, c.question, stages) },
		})
	}
	add("(a) one call after another, fresh connections", serial, func(all []part) (stages [][]part) {
		for _, p := range all {
			stages = append(stages, []part{p})
		}
		return stages
	})
	add("(b) in two parallel stages, fresh connections", parallel, func(all []part) [][]part { return [][]part{all[:2], all[2:]} })
	add("(c) all in parallel, fresh connections", parallel, func(all []part) [][]part { return [][]part{all} })
	hearth := func(name string, times int, prepare func(context.Context) error) {
		c.ways = append(c.ways, &way{
			Way: figures.Way{Name: name}, times: times, requests: t.requests, prepare: prepare,
			ask: func(ctx context.Context) (found, string, error) { return t.ask(ctx, c.question) },
		})
	}
	hearth("(d) Hearth, cold", 1, func(ctx context.Context) error {
		_, err := t.hearth.DropCache(ctx)
		return err
	})
	hearth("(e) Hearth, next turn", 1, func(ctx context.Context) error {
		_, err := t.hearth.DropChat(ctx, c.chat)
		return err
	})
	hearth("(f) Hearth, asked again", askedAgain, nil)
}

// run measures the rounds. The first one opens Hearth's connections and does not count. A round in which every way failed is the last one,
// because the next round would wait for the same upstreams in vain.
func (c *comparison) run(ctx context.Context, progress io.Writer) error {
	defer fmt.Fprint(progress, "\r                    \r")
	for round := -1; round < c.rounds; round++ {
		if round >= 0 {
			fmt.Fprintf(progress, "\rround %d of %d ", round+1, c.rounds)
		}
		direct, through := slices.Clone(c.ways[:3]), c.ways[3:]
		turn := (round + 1) % len(direct) // so that none is always first
		failed := 0
		for _, w := range slices.Concat(direct[turn:], direct[:turn], through) {
			before := w.failed
			for i := 0; i < w.times && w.failed == before; i++ {
				if err := w.sample(ctx); err != nil {
					return err
				}
			}
			if round < 0 && w.failed > 0 {
				return fmt.Errorf("%s: %w\nnothing was measured; hearth check says more", w.Name, w.last)
			}
			if round < 0 {
				w.MS, w.Requests = nil, nil
			}
			failed += w.failed - before
		}
		if failed == len(c.ways) {
			break
		}
	}
	return nil
}

// sample measures the way once. That the way fails is no error: it is counted.
func (w *way) sample(ctx context.Context) error {
	if w.prepare != nil {
		if err := w.prepare(ctx); err != nil {
			return err
		}
	}
	before, err := w.requests(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	got, held, failure := w.ask(ctx)
	took := time.Since(began)
	after, err := w.requests(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	if failure != nil {
		w.failed, w.last = w.failed+1, failure
		return nil //nolint:nilerr // it is counted
	}
	w.MS, w.Requests = append(w.MS, figures.MS(took)), append(w.Requests, float64(after-before))
	w.Held, w.found = held, got
	return nil
}

// report prints the table, what was measured, and what failed.
func (c *comparison) report(out io.Writer) error {
	s := c.settings
	models := "no Odoo model (HEARTH_ODOO_URL is not set)"
	if s.OdooURL != "" {
		models = "Odoo's " + strings.Join(s.OdooModels, ", ")
	}
	fmt.Fprintf(out, "One preprocess: a history of %d per role, %d relevant messages, the mute, %s. %d rounds, all ways in each.\n\n",
		compareHistory, compareRelevant, models, c.rounds)
	rows := make([]*figures.Way, len(c.ways))
	for i, w := range c.ways {
		rows[i] = &w.Way
	}
	if err := figures.WriteWays(out, rows...); err != nil {
		return err
	}
	fmt.Fprint(out, `
All calls come from this program: run it where your function runs, or as near as you can. An extra first round opened Hearth's
connections. It does not count.
(a) to (c) open a connection for each call, which is what handlers do that make a client for each question. What they would learn
    once (the classes, Odoo's protocol and user) was learned before.
(d) Hearth holds nothing; its connections are open.
(e) The chat is dropped from the cache: by default its history is fresh for 2 s and its mute for 5 s. Odoo's models (1 h) are held.
(f) The same at once again.

`)
	c.writeFound(out)
	return c.writeFailures(out)
}

// writeFound prints what the ways found at last. If they found different things, they did different work.
func (c *comparison) writeFound(out io.Writer) {
	var first *way
	for _, w := range c.ways {
		switch {
		case len(w.MS) == 0:
		case first == nil:
			first = w
			fmt.Fprintf(out, "%s found %s.\n", w.Name[:3], w.found)
			if len(w.found.history) == 0 {
				fmt.Fprintln(out, "The chat has no messages: is its id right?")
			}
		case !reflect.DeepEqual(w.found, first.found):
			fmt.Fprintf(out, "%s found something else: %s. Did the chat change meanwhile?\n", w.Name[:3], w.found)
		}
	}
}

// writeFailures prints which ways failed, and how often.
func (c *comparison) writeFailures(out io.Writer) error {
	failed := 0
	for _, w := range c.ways {
		if w.failed > 0 {
			failed += w.failed
			fmt.Fprintf(out, "%s failed %d of %d times, which the table does not count; at last: %v\n", w.Name[:3], w.failed, w.failed+len(w.MS), w.last)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of the calls failed: see above", failed)
	}
	fmt.Fprintln(out, "No call failed.")
	return nil
}
