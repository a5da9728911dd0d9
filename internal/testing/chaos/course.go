package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"hearth/client"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/bot"
)

// course is the run of one fault: before the fault, under it, and after it.
type course struct {
	fault    fault
	rig      *rig
	chat     string
	calls    []call
	lateness *lab.Lateness
	tally    *tally
	phase    string
	sum      summary

	mu    sync.Mutex
	loads time.Time // guarded by mu: when the last fetch began that has failed
}

// underIt is the phase during the fault.
const underIt = "under it"

// soon is how long after a fault every call must be right again, in deadlines.
const soon = 3

// run makes the fault happen, and judges what the sidecar does during it and after it.
func (c *course) run(ctx context.Context) error {
	c.phase = "before"
	if err := c.seed(); err != nil { //nolint:contextcheck // what it sends has a timeout of its own
		return err
	}
	crowd := max(1, c.fault.crowd)
	if err := c.allRight(ctx, true, crowd); err != nil {
		return err
	}
	if err := c.eachAlone(ctx); err != nil {
		return err
	}
	if err := c.allRight(ctx, false, 1); err != nil {
		return err
	}
	before, err := c.rig.steady(ctx)
	if err != nil {
		return err
	}
	if err := c.change(); err != nil { //nolint:contextcheck // likewise
		return err
	}

	c.phase = underIt
	began := time.Now()
	c.rig.forget()
	lift, err := c.fault.strike(ctx, c.rig)
	if err != nil {
		return fmt.Errorf("%s: %w", c.fault.name, err)
	}
	for range max(1, c.fault.rounds) {
		c.round(ctx, true, crowd)
	}
	c.round(ctx, false, crowd)
	if len(c.fault.outage) > 0 {
		if err := c.outage(ctx, began); err != nil {
			return err
		}
	}
	c.amplified(time.Since(began))
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
	after, err := c.rig.settled(ctx, before, c.loads)
	if err != nil {
		return err
	}
	goroutines, conns, files, why := after.leaked(before)
	c.tally.leak(c, goroutines, conns, files, why)
	return nil
}

// allRight makes every call before the fault. If a reply is not right, the run itself has failed.
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
		if time.Since(began) > soon*c.rig.truth.deadline+c.lateness.Within(began, time.Now()) {
			c.tally.offence(c, wrongs, 1, "not right again after %v: %s", soon*c.rig.truth.deadline, bad)
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// judgeWrites reads the whole chat, and Odoo's contacts. Acknowledged writes must be there, and refused ones must not.
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
	for _, err := range c.rig.truth.WrittenOnce() { //nolint:contextcheck // likewise
		if !c.rig.printed[err.Error()] { // an earlier fault's
			c.rig.printed[err.Error()] = true
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
