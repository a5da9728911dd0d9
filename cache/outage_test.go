package cache

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// outage is a cache that knows the failures of the tests.
func outage(t *testing.T, f func(x *tester)) {
	for _, kind := range []Resource{OdooModels, History, Mute} {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newTester(t, Config{Failure: failureOfTest})
				x.kind = kind
				x.ask(policy, Directives{})
				x.finish("old")
				f(x)
			})
		})
	}
}

// askWithin is ask for a request that has so much time.
func (x *tester) askWithin(d time.Duration, p Policy, dir Directives) *got {
	x.Helper()
	return x.start(func(g *got) {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		x.askNow(ctx, g, p, dir, x.load)
	})
}

// failWith ends the next load at once with an error.
func (x *tester) failWith(err error, p Policy, d Directives) *got {
	x.Helper()
	return x.start(func(g *got) {
		x.askNow(context.Background(), g, p, d, func(context.Context) ([]byte, error) { return nil, err })
	})
}

var noRefresh = Policy{Fresh: 2 * time.Second, IfError: time.Minute}

func TestALoadGoesOnForAsLongAsItsRequestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{LoadTimeout: time.Second})
		x.kind = OdooModels
		g := x.askWithin(5*time.Second, policy, Directives{})
		x.wantLoads(1)
		time.Sleep(4 * time.Second)
		x.finish("slow")
		<-g.done
		x.want(g, "slow", Miss)
	})
}

func TestWhatHangsGivesItsStaleValueInTime(t *testing.T) {
	outage(t, func(x *tester) {
		time.Sleep(3 * time.Second)
		start := time.Now()
		g := x.askWithin(300*time.Millisecond, noRefresh, Directives{})
		x.wantLoads(1)
		<-g.done
		x.want(g, "old", Stale)
		if took := time.Since(start); took != 300*time.Millisecond || g.Fwd != "stale" || g.TTL >= 0 {
			x.Errorf("after %v, %+v", took, g.Origin)
		}
		again := x.askWithin(300*time.Millisecond, noRefresh, Directives{})
		x.wantLoads(1) // joined
		<-again.done
		x.want(again, "old", Stale)
		x.finish("new") // the load goes on, because it fills the cache
		x.want(x.ask(Policy{Fresh: 10 * time.Second}, Directives{}), "new", Hit)
	})
}

func TestARequestWithoutTimeAsksNothing(t *testing.T) {
	outage(t, func(x *tester) {
		time.Sleep(3 * time.Second)
		g := x.askWithin(0, noRefresh, Directives{})
		x.wantLoads(0)
		x.want(g, "old", Stale)
		if g.Fwd != "" {
			x.Errorf("it was asked for: %+v", g.Origin)
		}
		x.wantErr(x.askWithin(0, Policy{Fresh: 2 * time.Second}, Directives{}), context.DeadlineExceeded)
	})
}

func TestOnlyAnOutageIsCoveredByWhatIsStale(t *testing.T) {
	outage(t, func(x *tester) {
		time.Sleep(3 * time.Second)
		if g := x.failWith(errLoad, noRefresh, Directives{}); g.err != nil || g.Served != Stale || g.Fwd != "stale" {
			x.Errorf("down: %+v %v", g.Origin, g.err)
		}
		if g := x.failWith(errUnasked, noRefresh, Directives{}); g.err != nil || g.Served != Stale || g.Fwd != "" || g.TTL >= 0 {
			x.Errorf("not asked: %+v %v", g.Origin, g.err)
		}
		x.wantErr(x.failWith(errWrong, noRefresh, Directives{}), errWrong)
		for name, d := range map[string]Directives{
			"no-cache": {NoCache: true}, "max-age": {MaxAge: new(time.Second)}, "min-fresh": {MinFresh: new(time.Second)},
			"max-stale": {MaxStale: new(time.Second / 2)},
		} {
			for _, err := range []error{errLoad, errUnasked} {
				if g := x.failWith(err, noRefresh, d); !errors.Is(g.err, err) {
					x.Errorf("%s: %+v %v", name, g.Origin, g.err)
				}
			}
		}
		time.Sleep(time.Minute)
		x.wantErr(x.failWith(errLoad, noRefresh, Directives{}), errLoad)
	})
}

func TestALoadThatTheUpstreamsPoolWouldRefuseDoesNotBegin(t *testing.T) {
	for _, kind := range []Resource{OdooModels, History, Mute} {
		synctest.Test(t, func(t *testing.T) {
			var full atomic.Bool
			var refused atomic.Int64 // the pool counts them
			x := newTester(t, Config{Failure: failureOfTest, Refuse: func(_ context.Context, r Resource) error {
				if r == kind && full.Load() {
					refused.Add(1)
					return errUnasked
				}
				return nil
			}})
			x.kind = kind
			under := x.ask(noRefresh, Directives{})
			full.Store(true)
			joined := x.ask(noRefresh, Directives{})
			x.wantLoads(1)
			x.finish("first")
			x.want(under, "first", Miss)
			x.want(joined, "first", Miss)
			time.Sleep(3 * time.Second)
			if g := x.ask(noRefresh, Directives{}); g.err != nil || g.Served != Stale || g.Fwd != "" {
				x.Errorf("%s: %+v %v", kind, g.Origin, g.err)
			}
			x.wantErr(x.ask(noRefresh, Directives{NoCache: true}), errUnasked)
			x.wantLoads(0)
			if n := refused.Load(); n != 2 {
				x.Errorf("%s: %d loads were refused", kind, n)
			}
			full.Store(false)
			again := x.ask(noRefresh, Directives{NoCache: true})
			x.finish("second")
			x.want(again, "second", Miss)
		})
	}
}

func TestALoadThatIsNotKeptEndsWithItsLastRequest(t *testing.T) {
	outage(t, func(x *tester) {
		ended := 0
		ask := func(d Directives) *got {
			return x.start(func(g *got) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				x.askNow(ctx, g, Policy{}, d, func(ctx context.Context) ([]byte, error) {
					<-ctx.Done()
					ended++
					return nil, context.Cause(ctx)
				})
			})
		}
		before := x.c.Stats().Errors
		x.wantErr(ask(Directives{NoStore: true}), context.DeadlineExceeded)
		synctest.Wait()
		if ended != 1 {
			x.Errorf("%d loads have ended", ended)
		}
		x.wantErr(ask(Directives{NoCache: true}), context.DeadlineExceeded) // kept, so it goes on
		x.wantErr(ask(Directives{NoCache: true}), context.DeadlineExceeded) // but a second one does not
		synctest.Wait()
		if ended != 2 {
			x.Errorf("%d loads have ended", ended)
		}
		if n := x.c.Stats().Errors; n != before {
			x.Errorf("%d loads that nobody waited for count as failed", n-before)
		}
	})
}

func TestOneRefreshOfAKeyRunsAtATimeAndAFailedOneWaits(t *testing.T) {
	outage(t, func(x *tester) {
		p := Policy{Fresh: time.Second, WhileRevalidate: time.Hour}
		for range 10 { // the load takes longer than a thing is fresh
			time.Sleep(time.Second)
			x.want(x.ask(p, Directives{}), "old", Stale)
			x.wantLoads(1)
		}
		for wait := leastBackoff; wait < 4*mostBackoff; wait *= 2 {
			x.fail()
			time.Sleep(min(wait, mostBackoff) - 1)
			x.want(x.ask(p, Directives{}), "old", Stale)
			x.wantLoads(0)
			time.Sleep(time.Nanosecond)
			x.want(x.ask(p, Directives{}), "old", Stale)
			x.wantLoads(1)
		}
		x.finish("new")
		time.Sleep(time.Second)
		x.want(x.ask(p, Directives{}), "new", Stale)
		x.wantLoads(1)
	})
}

func TestFewRefreshesRunAtOnce(t *testing.T) {
	bubble(t, func(x *tester) {
		p := Policy{Fresh: time.Second, WhileRevalidate: time.Hour}
		const models = 20
		for i := range models {
			x.get(ModelKey(string(rune('a'+i)), "id"), p, Directives{})
			x.finish("old")
		}
		time.Sleep(2 * time.Second)
		for i := range models {
			x.want(x.get(ModelKey(string(rune('a'+i)), "id"), p, Directives{}), "old", Stale)
		}
		x.wantLoads(1)
		x.finish("new")
		x.want(x.get(ModelKey("b", "id"), p, Directives{}), "old", Stale)
		x.wantLoads(1)
	})
}

func TestWhatDoesNotExistIsHeldForSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Failure: failureOfTest})
		missing := func(d Directives) *got {
			g := x.failWith(errMissing, policy, d)
			x.wantErr(g, errMissing)
			return g
		}
		hit := func(d Directives) {
			t.Helper()
			g := x.ask(policy, d)
			x.wantLoads(0)
			x.wantErr(g, errMissing)
			if g.Served != Hit || g.Fwd != "" || g.TTL <= 0 {
				t.Errorf("it is %+v", g.Origin)
			}
		}
		if g := missing(Directives{}); g.Served != Miss || g.Fwd != "miss" {
			t.Errorf("it is %+v", g.Origin)
		}
		time.Sleep(freshMissing - 1)
		hit(Directives{})
		hit(Directives{OnlyIfCached: true})
		missing(Directives{NoCache: true})
		hit(Directives{})
		time.Sleep(freshMissing)
		missing(Directives{}) // asked again, and nothing stale covers it
		for _, drop := range []func(){func() { x.c.DropMissing(key) }, func() { x.c.DropModel("res.partner") }, func() { x.c.DropAll() }} {
			hit(Directives{})
			drop()
			missing(Directives{})
		}
		x.c.DropMissing(key)
		x.ask(policy, Directives{})
		x.finish("there it is")
		x.c.DropMissing(key)
		x.want(x.ask(policy, Directives{}), "there it is", Hit)
		time.Sleep(policy.Fresh + policy.WhileRevalidate)
		missing(Directives{}) // it is gone: what was there does not cover that
		hit(Directives{})
	})
}

func TestWhatDoesNotExistIsNotHeldWhereNothingIsFresh(t *testing.T) {
	bubble(t, func(x *tester) {
		x.c.cfg.Failure = failureOfTest
		for range 2 {
			if g := x.failWith(errMissing, Policy{}, Directives{}); g.Served != Miss {
				t.Errorf("it is %+v", g.Origin)
			}
		}
	})
}
