package handlers

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"hearth/client"
	"hearth/client/wire"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/direct"
)

// way is one way to make a call.
type way struct {
	name  string
	calls int // in a round
	// call makes n calls one after another, and returns what each took in microseconds.
	call func(ctx context.Context, n int) ([]float64, error)
}

// ways are those through Hearth, and those straight to the upstreams.
func (w *world) ways() []way {
	ways := []way{
		{"go_hit_us", 300, w.inGo(func(ctx context.Context) error { return w.history(ctx, w.client) })},
		{"go_preprocess_us", 200, w.inGo(func(ctx context.Context) error { return w.heldPreprocess(ctx, w.client) })},
	}
	if w.python != nil {
		ways = append(ways,
			way{"python_hit_us", 300, w.python.way("history")},
			way{"python_preprocess_us", 200, w.python.way("preprocess")})
	}
	return append(ways, w.directWays("")...)
}

// directWays are those straight to the upstreams: a preprocess by calls at the same time, over fresh connections.
func (w *world) directWays(suffix string) []way {
	ways := []way{{"go_direct_us" + suffix, 3, w.inGo(func(ctx context.Context) error {
		_, err := direct.Ask(ctx, w.upstreams.TLS, w.stages)
		return err
	})}}
	if w.python != nil && w.python.hasGRPC {
		ways = append(ways, way{"python_direct_us" + suffix, 3, w.python.way("direct")})
	}
	return ways
}

func (w *world) inGo(call func(context.Context) error) func(context.Context, int) ([]float64, error) {
	return func(ctx context.Context, n int) (samples []float64, err error) {
		for range n {
			began := time.Now()
			if err := call(ctx); err != nil {
				return nil, err
			}
			samples = append(samples, microseconds(time.Since(began)))
		}
		return samples, nil
	}
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// history asks for a history, which must be held.
func (w *world) history(ctx context.Context, c *client.Client) error {
	var header http.Header
	if _, err := c.History(ctx, w.chat, 10, 5, client.WithReply(&header)); err != nil {
		return err
	}
	if status := header.Get("Cache-Status"); !strings.HasPrefix(status, "hearth; hit") {
		return fmt.Errorf("the history was not held: Cache-Status: %s", status)
	}
	return nil
}

func (w *world) preprocess(ctx context.Context, c *client.Client) (*client.Preprocess, error) {
	return c.Preprocess(ctx, client.PreprocessRequest{
		ChatID: w.chat, Text: text, RouteName: lab.OdooRoute, EnableOdoo: true, NumMessages: 10,
	})
}

// heldPreprocess makes a preprocess, all parts of which must be held.
func (w *world) heldPreprocess(ctx context.Context, c *client.Client) error {
	p, err := w.preprocess(ctx, c)
	if err != nil {
		return err
	}
	for _, part := range []string{wire.PartMute, wire.PartRelevant, wire.PartOdoo, wire.PartHistory} {
		if p.Cache[part] != "hit" {
			return fmt.Errorf("not all parts were held: %v", p.Cache)
		}
	}
	return nil
}
