package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"hearth/client"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/bot"
)

// course is one fault's: before it, under it, and after it.
type course struct {
	fault    fault
	rig      *rig
	chat     string
	calls    []call
	lateness *lab.Lateness
	tally    *tally
	phase    string
	sum      summary
}

// underIt is the phase in which the fault lasts.
const underIt = "under it"

// soon is how long after a fault every call must be right again.
const soon = 5 * time.Second

// run lets the fault happen, and judges all that the sidecar does meanwhile and after it.
func (c *course) run(ctx context.Context) error {
	c.phase = "before"
	if err := c.seed(); err != nil {
		return err
	}
	crowd := max(1, c.fault.crowd)
	start := c.rig.arrivals()
	if err := c.allRight(ctx, true, crowd); err != nil {
		return err
	}
	usual := c.rig.arrivals().since(start)
	if err := c.allRight(ctx, false, 1); err != nil {
		return err
	}
	before, err := c.rig.steady(ctx)
	if err != nil {
		return err
	}
	if err := c.change(); err != nil {
		return err
	}

	c.phase = underIt
	began := time.Now()
	start = c.rig.arrivals()
	lift, err := c.fault.strike(ctx, c.rig)
	if err != nil {
		return fmt.Errorf("%s: %w", c.fault.name, err)
	}
	c.round(ctx, true, crowd)
	c.amplified(c.rig.arrivals().since(start), usual, time.Since(began))
	c.round(ctx, false, crowd)
	if len(c.fault.outage) > 0 {
		if err := c.outage(ctx, began); err != nil {
			return err
		}
	}
	if lift != nil {
		if err := lift(); err != nil {
			c.tally.offence(c, wrongs, 1, "%v", err)
		}
	}
	c.phase = "after"
	if err := c.recover(ctx); err != nil {
		return err
	}
	c.judgeWrites(ctx)
	after, err := c.rig.settled(ctx, before)
	if err != nil {
		return err
	}
	goroutines, conns, files, why := after.leaked(before)
	c.tally.leak(c, goroutines, conns, files, why)
	return nil
}

// amplified compares the requests of a round with those of the same round without the fault. A budget lets through a tenth of the calls more
// and, besides, ten a minute. Retries have one, and hedges, which only Weaviate gets, another. A few more may come because calls of the
// usual round joined each other, and because of calls before it.
func (c *course) amplified(under, usual arrivals, took time.Duration) {
	joined := 1 + 2*max(1, c.fault.crowd)
	for name, n := range under {
		budgets := 1.0
		if name == "weaviate" {
			budgets = 2
		}
		c.sum.upstream, c.sum.usual = c.sum.upstream+n, c.sum.usual+usual[name]
		if over := float64(n) - float64(usual[name]) - budgets*(0.1*float64(usual[name])+10*max(1, took.Minutes())) - float64(joined); over > 0 {
			c.tally.offence(c, amplified, int(over)+1, "%d requests to %s, usually %d", n, name, usual[name])
		}
	}
}

// outage goes on until two seconds after the fault's beginning, and then makes calls for a second more. Of these only probes may reach
// the upstreams.
func (c *course) outage(ctx context.Context, began time.Time) error {
	const probes = 8 // more than one upstream gets in a second, with the connections for them
	for time.Since(began) < 2*time.Second {
		c.round(ctx, false, 1)
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	before, calls, from := c.rig.tries(), 0, time.Now()
	for time.Since(from) < time.Second {
		calls += len(c.round(ctx, true, 1))
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	seconds := time.Since(from).Seconds()
	after := c.rig.tries()
	for _, u := range c.fault.outage {
		perSecond := float64(after[u]-before[u]) / seconds
		c.sum.perSecond += perSecond
		if perSecond > probes {
			c.tally.offence(c, amplified, int(perSecond), "in an outage %.0f tries a second reach %s, of %.0f calls a second", perSecond, u, float64(calls)/seconds)
		}
	}
	return nil
}

// allRight makes every call, and fails if one is not right: then the run itself is at fault.
func (c *course) allRight(ctx context.Context, noCache bool, times int) error {
	for i, v := range c.round(ctx, noCache, times) {
		if v.what != right {
			return fmt.Errorf("before the fault %s: %s is not right: %+v", c.fault.name, c.calls[i%len(c.calls)].name, v)
		}
	}
	return nil
}

// recover makes every call until all are right.
func (c *course) recover(ctx context.Context) error {
	began := time.Now()
	defer func() { c.sum.recovered = time.Since(began) }()
	for {
		bad := ""
		for i, v := range c.round(ctx, true, 1) {
			if v.what != right {
				bad = fmt.Sprintf("%s: %s %s", c.calls[i].name, v.kind, v.why)
			}
		}
		if bad == "" {
			return nil
		}
		if time.Since(began) > soon+c.lateness.Within(began, time.Now()) {
			c.tally.offence(c, wrongs, 1, "not right again after %v: %s", soon, bad)
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// judgeWrites asks for the whole chat and looks into Odoo: what was acknowledged is there, and what was refused is not.
func (c *course) judgeWrites(ctx context.Context) {
	whole := &reply{call: "history", noCache: true, attempt: attempt{
		method: http.MethodGet, path: chatPath(c.chat, "history") + "?num_messages=200",
		judge: func(r *reply) verdict {
			var h client.History
			return r.decoded(&h, false, func(f bot.Freshness) error { return c.rig.truth.JudgeWholeHistory(c.chat, &h, r.asked) })
		},
	}}
	c.rig.send(ctx, whole)
	c.tally.judged(c, whole, whole.judge(nil), 0)
	for _, err := range c.rig.truth.WrittenOnce() {
		if !c.rig.told[err.Error()] { // an earlier fault's
			c.rig.told[err.Error()] = true
			kind := wrongs
			if errors.Is(err, bot.ErrLost) {
				kind = lostWrites
			}
			c.tally.offence(c, kind, 1, "%v", err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
