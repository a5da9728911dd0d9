package pool

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearth/client/wire"
	"hearth/internal/clock"
)

func TestProbesCloseTheBreaker(t *testing.T) {
	openBubble(t, func(g *guarded) {
		for wait := leastWait; wait <= 4*leastWait; wait *= 2 { // doubled by each probe that fails
			time.Sleep(wait - time.Millisecond)
			g.wantRefused()
			g.wantState(wire.BreakerOpen)
			time.Sleep(time.Millisecond)
			g.wantState(wire.BreakerHalfOpen)
			g.wantRefused()
			synctest.Wait()
		}
		requests, probes := g.seen()
		if requests != tooManyFailed || probes != 3 {
			g.Errorf("the upstream saw %d requests and %d probes", requests, probes)
		}
		g.upstream(ok)
		time.Sleep(time.Minute)
		if _, again := g.seen(); again != probes {
			g.Error("a probe went out while no request came")
		}
		g.wantRefused()
		g.wantState(wire.BreakerClosed)
		if err := g.call(time.Second); err != nil {
			g.Error(err)
		}
		if log := g.log.String(); strings.Count(log, "breaker opened") != 1 || strings.Count(log, "breaker closed") != 1 {
			g.Errorf("the log says\n%s", log)
		}
	})
}

func TestNoRequestWaitsForAProbe(t *testing.T) {
	openBubble(t, func(g *guarded) {
		g.upstream(never)
		time.Sleep(leastWait)
		for range 50 {
			g.wantRefused()
		}
		synctest.Wait()
		if _, probes := g.seen(); probes != 1 {
			g.Errorf("%d probes are under way", probes)
		}
		g.wantState(wire.BreakerHalfOpen)
		time.Sleep(leastProbe)
		g.wantState(wire.BreakerOpen)
	})
}

func TestATimeFrozenMakesAProbeDue(t *testing.T) {
	openBubble(t, func(g *guarded) {
		for range 6 { // probes that fail, so that the next one is due late
			time.Sleep(mostWait)
			g.wantRefused()
			synctest.Wait()
		}
		g.wantState(wire.BreakerOpen)
		g.upstream(ok)
		time.Sleep(time.Millisecond)
		g.freeze(clock.Gap)
		g.wantState(wire.BreakerHalfOpen)
		if err := g.pool.Warm(g.Context()); !errors.Is(err, ErrOpen) {
			g.Errorf("the warm-up after the freeze: %v", err)
		}
		if refused := g.pool.Stats().Breaker.Refused; refused != 6 {
			g.Errorf("%d requests were refused, and the warm-up is none", refused)
		}
		g.wantState(wire.BreakerClosed)
	})
}

// The probe that a freeze has interrupted begins again: no further request has to come for that.
func TestAProbeThatAFreezeInterruptsBeginsAgain(t *testing.T) {
	openBubble(t, func(g *guarded) {
		g.upstream(never)
		time.Sleep(leastWait)
		g.wantRefused()
		synctest.Wait()
		g.freeze(time.Hour)
		g.upstream(ok)
		g.pool.Stats() // notices the freeze
		g.wantState(wire.BreakerClosed)
	})
}

func TestAskClosesTheBreaker(t *testing.T) {
	openBubble(t, func(g *guarded) {
		b := g.pool.cfg.Breaker
		time.Sleep(time.Millisecond)
		if err := b.Ask(g.Context(), g.pool.ping); err != nil {
			g.Error(err) // an answer of 503 is no error of a ping
		}
		g.wantState(wire.BreakerOpen)
		g.upstream(ok)
		time.Sleep(time.Millisecond)
		if err := b.Ask(g.Context(), g.pool.ping); err != nil {
			g.Error(err)
		}
		g.wantState(wire.BreakerClosed)
	})
}

func TestForMeasurementsThereIsNoBreaker(t *testing.T) {
	guardBubble(t, func(c *Config) { c.Policy.NoBreaker = true }, func(g *guarded) {
		g.upstream(down)
		for range 100 {
			if err := g.call(time.Second); err != nil {
				g.Fatal(err)
			}
		}
		g.wantState(wire.BreakerClosed)
	})
}

func TestClosingEndsAProbe(t *testing.T) {
	openBubble(t, func(g *guarded) {
		g.upstream(never)
		time.Sleep(leastWait)
		g.wantRefused()
		synctest.Wait()
		begun := time.Now()
		g.pool.Close()
		if took := time.Since(begun); took > 0 {
			g.Errorf("closing took %v", took)
		}
	})
}

// For an hour the upstream is down, and ten requests come each second.
func TestAnOutageCostsFewRequestsAndFewLines(t *testing.T) {
	guardBubble(t, func(c *Config) { c.Retries = 2 }, func(g *guarded) {
		second := func() (sent int) {
			requests, probes := g.seen()
			for range 10 {
				_ = g.call(time.Second)
				time.Sleep(100 * time.Millisecond)
			}
			after, probed := g.seen()
			return after + probed - requests - probes
		}
		if n := second(); n != 10 {
			g.Errorf("%d requests are sent in a second before", n)
		}
		g.upstream(down)
		first, next := second(), second()
		if first > 16 || next > 2 {
			g.Errorf("in the first second of the outage %d requests were sent, in the next one %d", first, next)
		}
		for range 3600 {
			if n := second(); n > 2 {
				g.Fatalf("%d requests were sent in a second", n)
			}
		}
		log := g.log.String()
		if n := strings.Count(log, "\n"); n < 60 || n > 65 { // the first failure, the opening, and one a minute
			g.Errorf("the log has %d lines:\n%s", n, log[:min(2000, len(log))])
		}
		g.upstream(ok)
		time.Sleep(mostWait)
		second()
		if n := second(); n != 10 {
			g.Errorf("%d requests are sent in a second after the outage", n)
		}
	})
}
