// Command demo shows what Hearth is for, on this machine and with nothing else installed: the calls that a chatbot
// makes before it can answer, without Hearth and with it, against Weaviate and Odoo stand-ins that are far away.
//
// Start at run. sandbox.go starts the Lambda sandbox with the real binary in it, rounds.go is what is measured and how,
// handler.go has the two ways of asking (the package direct is what handlers do without Hearth), and answer.go what both must find. It
// measures nothing but this one pattern; the benchmarks say what each part costs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"hearth/internal/figures"
	"hearth/internal/testing/lab"
)

func main() {
	rounds := flag.Int("rounds", 9, "rounds to measure, 3 s each")
	rtt := flag.Duration("rtt", 60*time.Millisecond, "round trip to the upstreams")
	handler := flag.String("handler", "auto", "the sample handler to run: auto, python or go")
	flag.Parse()
	lab.Main("demo", func(ctx context.Context, dir string) error {
		return run(ctx, os.Stdout, os.Stderr, dir, *rounds, *rtt, *handler)
	})
}

func run(ctx context.Context, out, progress io.Writer, dir string, rounds int, rtt time.Duration, wanted string) (err error) {
	lang, err := language(ctx, wanted)
	if err != nil {
		return err
	}
	fmt.Fprint(progress, "building Hearth ... ")
	extension, runtime, err := build(ctx, dir, lang)
	if err != nil {
		return err
	}
	fmt.Fprintln(progress, "done")

	var server serverTime
	u, err := lab.StartUpstreams(dir, lab.UpstreamsConfig{RTT: rtt, Wrap: server.of}) //nolint:contextcheck // their life ends with Close
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.Close()) }()
	s, err := start(ctx, dir, extension, runtime, u)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && !errors.Is(err, errPromise) {
			err = fmt.Errorf("%w%s", err, s.Logs())
		}
		_, closed := s.Close(ctx)
		err = errors.Join(err, closed)
	}()

	fmt.Fprintf(out, "Weaviate and Odoo stand-ins behind TLS, %v away. The real extension and a handler in %s, in a Lambda sandbox's double.\n"+
		"One preprocess: a history of 10 per role, what is relevant to the text, mute, one Odoo model. %d rounds, all ways in each,\n"+
		"and every way must find the same.\n\n", rtt, map[lab.Language]string{lab.Python: "Python", lab.Go: "Go"}[lang], rounds)
	h := newHandler(lang, s, u)
	d := &demo{handler: h, hearth: s.Hearth, upstreams: u, server: &server, rounds: rounds, progress: progress}
	if err := d.run(ctx); err != nil {
		return err
	}
	if err := figures.WriteWays(out, &d.a.Way, &d.b.Way, &d.c.Way, &d.d.Way, &d.e.Way, &d.f.Way); err != nil {
		return err
	}
	fmt.Fprint(out, `
(a) to (c) ask Weaviate over gRPC, as its clients do today, by a new channel for each call; and Odoo by a new connection for each.
(d) A chat never seen before, the models dropped too; connections are warm.
(e) The turn after that. The handler has written two messages and 30 s have passed: not in truth, but what the defaults
    let run out by then is dropped (history: 2 s, mute: 5 s). The models (1 h) and the connections (50 s) are held.
(f) The same at once again: a second route, a retry, a parallel branch of the handler.

/debug/cache over all of it (how this demo asks, not a forecast):
`)
	stats, err := s.Hearth.CacheStats(ctx)
	if err != nil {
		return err
	}
	if err := hitRates(out, stats); err != nil {
		return err
	}
	if err := talk(ctx, out, lang, h); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := connections(out, d.opened); err != nil {
		return err
	}
	return d.verdict(out)
}

// talk lets the sample handler talk: what a turn has written, the next one must remember.
func talk(ctx context.Context, out io.Writer, lang lab.Language, h handler) error {
	fmt.Fprintf(out, "\nThe sample handler, examples/%s, in a new chat:\n", lang)
	for i, text := range []string{"Hello, I am Ada.", "What is my name?"} {
		r, err := h.turn(ctx, lab.Turn{ChatID: "a new chat", Text: text, Route: lab.OdooRoute})
		if err != nil {
			return fmt.Errorf("the sample handler: %w", err)
		}
		fmt.Fprintf(out, "  %s\n  → %s\n", text, r.Text)
		if !r.Saved || r.History != 2*i {
			return fmt.Errorf("the sample handler remembers %d messages in turn %d: %+v", r.History, i+1, r)
		}
	}
	return nil
}
