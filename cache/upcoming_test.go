package cache

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/clock"
)

func (x *tester) refresh(ctx context.Context) <-chan int {
	n := make(chan int, 1)
	go func() { n <- x.c.Refresh(ctx) }()
	synctest.Wait()
	return n
}

func TestRefreshFetchesWhatIsAboutToRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Refresh: true})
		old, young := ModelKey("sale.order", "id"), key
		x.get(old, policy, Directives{})
		x.finish("old")
		time.Sleep(policy.Fresh * 3 / 4)
		x.get(young, policy, Directives{})
		x.finish("young")
		x.get(RelevantKey("chat", "id"), Policy{Fresh: time.Nanosecond, WhileRevalidate: time.Hour}, Directives{})
		x.finish("relevant")

		n := x.refresh(t.Context())
		x.wantLoads(1)
		x.finish("new")
		if got := <-n; got != 1 {
			t.Errorf("%d reads were refreshed", got)
		}
		time.Sleep(policy.Fresh / 2) // beyond the freshness of the first load
		x.want(x.get(old, policy, Directives{}), "new", Hit)

		x.c.DropModel("res.partner")
		time.Sleep(policy.Fresh + policy.WhileRevalidate)
		if got := <-x.refresh(t.Context()); got != 0 { // forgotten, or too old to be served
			t.Errorf("%d reads were refreshed", got)
		}
		x.wantLoads(0)
	})
}

func TestRefreshEndsWithItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Refresh: true})
		x.get(key, policy, Directives{})
		x.finish("old")
		time.Sleep(policy.Fresh)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		n := x.refresh(ctx)
		if got := <-n; got != 0 || time.Since(begun) != time.Second {
			t.Errorf("%d reads were refreshed in %v", got, time.Since(begun))
		}
		x.finish("new")
		x.want(x.get(key, policy, Directives{}), "new", Hit)
	})
}

func TestRefreshRemembersOnlyTheLastReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Refresh: true})
		for i := range mostUpcoming + 5 {
			x.get(ModelKey("m", fmt.Sprint(i)), policy, Directives{})
			x.finish("x")
		}
		if n := len(x.c.upcoming.reads); n != mostUpcoming {
			t.Errorf("%d reads are remembered", n)
		}
	})
}

func TestALoadThatAFreezeHasPassedOverIsNotJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var frozen time.Duration
		system := clock.System()
		pulse := clock.NewPulse(func() clock.Instant {
			now := system()
			now.Wall = now.Wall.Add(frozen)
			return now
		})
		x := newTester(t, Config{Pulse: pulse})
		long := Policy{Fresh: time.Hour}
		before := x.get(key, long, Directives{})
		x.wantLoads(1)
		frozen = time.Minute
		after := x.get(key, long, Directives{})
		x.wantLoads(2)
		hung := x.loads[0]
		x.loads = x.loads[1:]
		x.finish("new")
		x.want(after, "new", Miss)
		hung <- "old"
		x.want(x.get(key, long, Directives{}), "new", Hit)
		<-before.done
	})
}

func TestRefreshLeavesLittleBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Refresh: true})
		for i := range mostUpcoming {
			x.get(ModelKey("m", fmt.Sprint(i)), policy, Directives{})
			x.finish("x")
		}
		time.Sleep(policy.Fresh)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n := x.refresh(ctx)
		x.wantLoads(refreshing)
		<-n
		synctest.Wait()
		x.wantLoads(refreshing)
	})
}
