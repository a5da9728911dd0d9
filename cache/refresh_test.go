package cache

import (
	"context"
	"fmt"
	"strings"
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

func TestAReadThatIsDroppedDuringItsLoadIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTester(t, Config{Refresh: true})
		got := x.get(key, policy, Directives{})
		x.c.DropAll()
		x.finish("old")
		x.want(got, "old", Miss)
		if bytes := x.c.Stats().Bytes; bytes != 0 {
			t.Errorf("%d bytes are held", bytes)
		}
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
		for i := range maxRecentReads + 5 {
			x.get(ModelKey("m", fmt.Sprint(i)), policy, Directives{})
			x.finish("x")
		}
		if n := len(x.c.recentReads.reads); n != maxRecentReads {
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
		for i := range maxRecentReads {
			x.get(ModelKey("m", fmt.Sprint(i)), policy, Directives{})
			x.finish("x")
		}
		time.Sleep(policy.Fresh)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n := x.refresh(ctx)
		x.wantLoads(refreshParallel)
		<-n
		synctest.Wait()
		x.wantLoads(refreshParallel)
	})
}

func TestRememberedReadsCountAndAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, size = 4 << 20, 40 << 10
		x := newTester(t, Config{Bytes: bound, Refresh: true})
		read := func(i, size int) {
			k := RecordKey("res.partner", fmt.Sprint(i)+strings.Repeat("x", size))
			k.LoadBytes = int64(size)
			x.get(k, policy, Directives{})
			x.finish("small")
		}
		read(0, size)
		if s := x.c.Stats(); s.Bytes < 4*size || s.Resources[string(OdooRead)].Bytes != s.Bytes-s.Resources[string(History)].Bytes {
			t.Errorf("one read of %d bytes of arguments is counted as %d", size, s.Bytes)
		}
		for i := 1; i < 40; i++ {
			read(i, size)
			if s := x.c.Stats(); s.Bytes > bound {
				t.Fatalf("%d bytes are held after %d reads", s.Bytes, i)
			}
		}
		few := len(x.c.recentReads.reads)
		if few < 2 || few == maxRecentReads || x.c.recentReads.reads[few-1].key.ID[:2] != "39" {
			t.Errorf("%d reads are remembered", few)
		}
		read(100, 1<<20)
		if n := len(x.c.recentReads.reads); n != few {
			t.Errorf("%d reads are remembered after one that is too large, before it %d", n, few)
		}
		x.c.DropRecords()
		if s := x.c.Stats(); s.Bytes != 0 || len(x.c.recentReads.reads) != 0 {
			t.Errorf("%d bytes are left of dropped reads", s.Bytes)
		}
	})
}
