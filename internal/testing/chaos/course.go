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
	arrivedBefore, _ := c.rig.requests("")
	if err := c.allRight(ctx, true); err != nil {
		return err
	}
	usual, _ := c.rig.requests("")
	usual -= arrivedBefore
	if err := c.allRight(ctx, false); err != nil {
		return err
	}
	before, err := c.rig.quiet(ctx)
	if err != nil {
		return err
	}
	if err := c.change(); err != nil {
		return err
	}

	c.phase = underIt
	began := time.Now()
	arrivedBefore, _ = c.rig.requests("")
	lift, err := c.fault.strike(ctx, c.rig)
	if err != nil {
		return fmt.Errorf("%s: %w", c.fault.name, err)
	}
	rounds := 0
	for _, noCache := range []bool{true, false} {
		c.round(ctx, noCache, max(1, c.fault.crowd))
		rounds += max(1, c.fault.crowd)
	}
	arrived, _ := c.rig.requests("")
	c.sum.upstream, c.sum.usual = arrived-arrivedBefore, usual*rounds
	budget := float64(c.sum.usual)*1.1 + 10*time.Since(began).Minutes() + 10
	if over := float64(c.sum.upstream) - budget; over > 0 {
		c.tally.offence(c, amplified, int(over)+1, "%d upstream requests, usually %d", c.sum.upstream, c.sum.usual)
	}
	if c.fault.outage {
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

// outage goes on until two seconds after the fault's beginning, and then makes calls for a second more. Of these only probes may reach
// the upstreams.
func (c *course) outage(ctx context.Context, began time.Time) error {
	const probes = 20 // more than four upstreams get in a second
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
	c.sum.perSecond = float64(c.rig.tries()-before) / seconds
	if c.sum.perSecond > probes {
		c.tally.offence(c, amplified, int(c.sum.perSecond), "in an outage %.0f tries a second reach the upstreams, of %.0f calls a second", c.sum.perSecond, float64(calls)/seconds)
	}
	return nil
}

// allRight makes every call, and fails if one is not right: then the run itself is at fault.
func (c *course) allRight(ctx context.Context, noCache bool) error {
	for i, v := range c.round(ctx, noCache, 1) {
		if v.what != right {
			return fmt.Errorf("before the fault %s: %s is not right: %+v", c.fault.name, c.calls[i].name, v)
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
