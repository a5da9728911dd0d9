package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"

	"hearth/client"
	"hearth/internal/figures"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/direct"
)

// variant is one way to do a preprocess, and what it took.
type variant struct {
	figures.Way
	beyond lab.Samples                         // ms beyond the stand-ins' own time, of each sample
	cache  map[string]string                   // what every reply through Hearth must say of its parts
	stages func([]direct.Call) [][]direct.Call // without Hearth
}

func variants() (a, b, c, d, e, f *variant) {
	parts := func(history, mute, relevant, odoo string) map[string]string {
		return map[string]string{client.PartHistory: history, client.PartMute: mute, client.PartRelevant: relevant, client.PartOdoo: odoo}
	}
	return &variant{Way: figures.Way{Name: "(a) one call after another, fresh connections"}, stages: direct.OneByOne},
		&variant{Way: figures.Way{Name: "(b) in two parallel stages, fresh connections"}, stages: direct.InTwoStages},
		&variant{Way: figures.Way{Name: "(c) all in parallel, fresh connections"}, stages: direct.AllAtOnce},
		&variant{Way: figures.Way{Name: "(d) Hearth, cold", Held: "nothing"}, cache: parts("miss", "miss", "miss", "miss")},
		&variant{Way: figures.Way{Name: "(e) Hearth, next turn, new text", Held: "models"}, cache: parts("miss", "miss", "miss", "hit")},
		&variant{Way: figures.Way{Name: "(f) Hearth, asked again", Held: "everything"}, cache: parts("hit", "hit", "hit", "hit")}
}

// demo runs the rounds. In each, every variant asks the same questions about the same chats, so that the noise hits all alike.
type demo struct {
	handler
	hearth    *client.Client
	upstreams *lab.Upstreams
	server    *serverTime
	rounds    int
	progress  io.Writer

	a, b, c, d, e, f *variant
	trips            lab.Samples  // ms of a round trip beside each chat
	opened           client.Pools // /debug/pools after the first preprocess
}

const (
	chatsPerRound = 2
	heldPerChat   = 10
)

func (d *demo) run(ctx context.Context) error {
	for round := -1; round < d.rounds; round++ { // the first one opens connections and does not count
		if round <= 0 {
			d.a, d.b, d.c, d.d, d.e, d.f = variants()
			d.trips = nil
		}
		if round >= 0 {
			fmt.Fprintf(d.progress, "\rround %d of %d ", round+1, d.rounds)
		}
		for i := range chatsPerRound {
			n := (round+1)*chatsPerRound + i
			if err := d.chat(ctx, n, i == 0); err != nil {
				return fmt.Errorf("round %d: %w", round+1, err)
			}
		}
	}
	fmt.Fprint(d.progress, "\r                  \r")
	return nil
}

// chat measures one chat that Hearth has never seen. The slow ways are measured with the first chat of a round only.
func (d *demo) chat(ctx context.Context, n int, all bool) error {
	if err := direct.StoreChat(d.upstreams, n); err != nil { //nolint:contextcheck // a row is stored in any case, and its client has a timeout
		return err
	}
	if _, err := d.hearth.DropModel(ctx, "res.partner"); err != nil {
		return err
	}
	trip, err := d.upstreams.RoundTrip(ctx)
	if err != nil {
		return err
	}
	d.trips = append(d.trips, lab.MS(trip))
	ways := []*variant{d.d}
	if all {
		ways = append(ways, d.a, d.b, d.c)
	}
	rotate := n / chatsPerRound % len(ways) // so that none is always first
	ways = append(ways[rotate:], ways[:rotate]...)
	chat, text := lab.ChatID(n), fmt.Sprintf("What of parcel number %d?", n+3)
	if err := d.same(ctx, ways, chat, text); err != nil {
		return err
	}
	if n == 0 {
		if d.opened, err = d.hearth.PoolStats(ctx); err != nil {
			return err
		}
	}

	// The next turn, 30 s later, is not waited for: what would have run out by then is dropped.
	_, err = d.hearth.Append(ctx, chat, []client.NewMessage{
		{Role: "user", Content: text}, {Role: "assistant", Content: "It is in Ghent."},
	})
	if err != nil {
		return err
	}
	if _, err := d.hearth.DropChat(ctx, chat); err != nil {
		return err
	}
	ways = append([]*variant{d.c, d.e}, slices.Repeat([]*variant{d.f}, heldPerChat)...)
	return d.same(ctx, ways, chat, "And when will it come from Ghent?")
}

// same takes a sample of each way, and compares what they found.
func (d *demo) same(ctx context.Context, ways []*variant, chat, text string) error {
	var first *answer
	for _, v := range ways {
		found, err := d.sample(ctx, v, chat, text)
		if err != nil {
			return fmt.Errorf("%s: %w", v.Name, err)
		}
		if first == nil {
			if first = &found; len(found.History) != 20 || len(found.Relevant) != 5 || len(found.Fields) == 0 {
				return fmt.Errorf("%s: the answer is not whole: %+v", v.Name, found)
			}
		} else if !reflect.DeepEqual(found, *first) {
			return fmt.Errorf("%s and %s differ:\n%+v\n%+v", ways[0].Name, v.Name, *first, found)
		}
	}
	return nil
}

// sample takes a sample of one way.
func (d *demo) sample(ctx context.Context, v *variant, chat, text string) (answer, error) {
	j := job{Variant: "hearth", ChatID: chat, Text: text, RouteName: lab.OdooRoute, CAFile: d.upstreams.CAFile}
	if v.stages != nil {
		j.Variant, j.Stages = "direct", v.stages(direct.Preprocess(d.upstreams, chat, text))
	}
	before := d.upstreams.Requests()
	d.server.take()
	s, err := d.measure(ctx, j)
	if err != nil {
		return answer{}, err
	}
	v.MS, v.Requests = append(v.MS, s.MS), append(v.Requests, float64(d.upstreams.Requests()-before))
	v.beyond = append(v.beyond, s.MS-lab.MS(d.server.take()))
	found, cache, err := s.read()
	if err == nil && !maps.Equal(cache, v.cache) {
		err = fmt.Errorf("what was held is %v, not %v", cache, v.cache)
	}
	return found, err
}
