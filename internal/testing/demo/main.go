// Command demo shows what Hearth is for, on this machine and with nothing else installed: the calls that a chatbot
// makes before it can answer, without Hearth and with it, against Weaviate and Odoo stand-ins that are far away.
//
// Start at run. upstreams.go are the stand-ins, sandbox.go is the Lambda sandbox with the real binary in it, rounds.go
// is what is measured and how, calls.go what handlers send without Hearth. It measures nothing but this one pattern;
// the benchmarks say what each part costs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 9, "rounds to measure, 3 s each")
	rtt := flag.Duration("rtt", 60*time.Millisecond, "round trip to the upstreams")
	lang := flag.String("handler", "auto", "the sample handler to run: auto, python or go")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Stdout, os.Stderr, *rounds, *rtt, *lang)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, progress io.Writer, rounds int, rtt time.Duration, wanted string) (err error) {
	lang, err := language(ctx, wanted)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hearth-demo")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Fprint(progress, "building Hearth ... ")
	root, err := build(ctx, dir, lang)
	if err != nil {
		return err
	}
	fmt.Fprintln(progress, "done")

	u, err := startUpstreams(dir, rtt) //nolint:contextcheck // their life ends with close
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.close()) }()
	s, err := startSandbox(ctx, dir, root, lang, u)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && !errors.Is(err, errPromise) {
			err = fmt.Errorf("%w\n%s", err, s.logs())
		}
		err = errors.Join(err, s.close(ctx))
	}()

	fmt.Fprintf(out, "Weaviate and Odoo stand-ins behind TLS, %v away. The real extension and a handler in %s, in a Lambda sandbox's double.\n"+
		"One preprocess: a history of 10 per role, what is relevant to the text, mute, one Odoo model. %d rounds, all ways in each,\n"+
		"and every way must find the same.\n\n", rtt, map[string]string{"python": "Python", "go": "Go"}[lang], rounds)
	d := &demo{sandbox: s, upstreams: u, rounds: rounds, progress: progress}
	if err := d.run(ctx); err != nil {
		return err
	}
	if err := d.table(out); err != nil {
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
	stats, err := s.hearth.DebugCache(ctx)
	if err != nil {
		return err
	}
	if err := hitRates(out, stats); err != nil {
		return err
	}
	if err := d.turns(ctx, out); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := connections(out, d.opened); err != nil {
		return err
	}
	return d.verdict(out)
}

// turns lets the sample handler talk: what a turn has written, the next one must remember.
func (d *demo) turns(ctx context.Context, out io.Writer) error {
	fmt.Fprintf(out, "\nThe sample handler, examples/%s, in a new chat:\n", d.language)
	for i, text := range []string{"Hello, I am Ada.", "What is my name?"} {
		r, err := d.turn(ctx, turn{ChatID: "a new chat", Text: text, RouteName: route})
		if err != nil {
			return fmt.Errorf("the sample handler: %w", err)
		}
		fmt.Fprintf(out, "  %s\n  → %s\n", text, r.Reply)
		if !r.Saved || r.History != 2*i {
			return fmt.Errorf("the sample handler remembers %d messages in turn %d: %+v", r.History, i+1, r)
		}
	}
	return nil
}
