package cache

import (
	"testing"
	"time"
)

func TestARequestNarrowsWhatIsFreshAndWidensOnlyWhatIsStale(t *testing.T) {
	const day = 24 * time.Hour
	s := func(n int) *time.Duration { return new(time.Duration(n) * time.Second) }
	p := Policy{Fresh: 10 * time.Second, WhileRevalidate: 5 * time.Second, IfError: day}
	for _, c := range []struct {
		name       string
		d          Directives
		age        int
		want       verdict
		reason     string
		join       int // seconds
		afterError bool
	}{
		{"plain, fresh", Directives{}, 9, serve, "", 10, true},
		{"plain, stale a little", Directives{}, 12, serveAndRefresh, "", 10, true},
		{"plain, stale", Directives{}, 15, fetch, "stale", 10, true},
		{"min-fresh holds", Directives{MinFresh: s(4)}, 5, serve, "", 6, false},
		{"min-fresh does not hold", Directives{MinFresh: s(4)}, 6, fetch, "request", 6, false},
		{"min-fresh of nothing", Directives{MinFresh: s(0)}, 9, serve, "", 10, false},
		{"min-fresh of nothing, stale", Directives{MinFresh: s(0)}, 12, fetch, "stale", 10, false},
		{"min-fresh longer than anything is fresh", Directives{MinFresh: s(1 << 31)}, 0, fetch, "request", 0, false},
		{"min-fresh and max-stale", Directives{MinFresh: s(0), MaxStale: s(60)}, 12, fetch, "stale", 10, false},
		{"min-fresh and a max-age that is stricter", Directives{MinFresh: s(4), MaxAge: s(2)}, 3, fetch, "request", 2, false},
		{"min-fresh that is stricter, and a max-age", Directives{MinFresh: s(8), MaxAge: s(5)}, 3, fetch, "request", 2, false},
		{"max-age", Directives{MaxAge: s(5)}, 4, serve, "", 5, false},
		{"max-age, older", Directives{MaxAge: s(5)}, 5, fetch, "request", 5, false},
		{"max-age makes nothing fresh", Directives{MaxAge: s(60)}, 12, fetch, "stale", 10, false},
		{"max-stale", Directives{MaxStale: s(7)}, 17, serveStale, "", 10, true},
		{"max-stale, staler", Directives{MaxStale: s(7)}, 18, fetch, "stale", 10, false},
		{"max-stale takes nothing older than max-age", Directives{MaxAge: s(5), MaxStale: s(60)}, 6, fetch, "request", 5, false},
		{"max-stale within max-age", Directives{MaxAge: s(20), MaxStale: s(7)}, 16, serveStale, "", 10, false},
		{"no-cache", Directives{NoCache: true, MaxStale: s(60)}, 0, fetch, "request", 0, false},
	} {
		age := time.Duration(c.age) * time.Second
		if v, reason := p.judge(age, c.d); v != c.want || reason != c.reason {
			t.Errorf("%s: verdict %d because of %q, want %d, %q", c.name, v, reason, c.want, c.reason)
		}
		if join := p.maxJoinAge(c.d); join != time.Duration(c.join)*time.Second {
			t.Errorf("%s: joins loads up to %v old, want %ds", c.name, join, c.join)
		}
		if ok := p.mayServeOnError(age, c.d); ok != c.afterError {
			t.Errorf("%s: after an error %t", c.name, ok)
		}
	}
}

func TestWhatStandsInForAFailedLoadSaysThatItWasAskedFor(t *testing.T) {
	everyKind(t, func(x *tester) {
		x.ask(policy, Directives{})
		x.finish("one")
		time.Sleep(policy.Fresh + policy.WhileRevalidate)
		first, second := x.ask(policy, Directives{}), x.ask(policy, Directives{})
		x.wantLoads(1)
		x.fail()
		for g, collapsed := range map[*got]bool{first: false, second: true} {
			x.want(g, "one", Stale)
			if g.Fwd != "stale" || g.Collapsed != collapsed || g.TTL >= 0 {
				x.Errorf("its origin is %+v, collapsed: want %t", g.Origin, collapsed)
			}
		}
	})
}

func TestAReplyIsAsOldAsItsLoad(t *testing.T) {
	everyKind(t, func(x *tester) {
		g := x.ask(policy, Directives{})
		time.Sleep(3 * time.Second)
		x.finish("one")
		x.want(g, "one", Miss)
		h := x.ask(policy, Directives{})
		x.want(h, "one", Hit)
		for _, o := range []Origin{g.Origin, h.Origin} {
			if o.Age != 3*time.Second || o.TTL != policy.Fresh-o.Age {
				x.Errorf("a load that took 3 s brought %+v", o)
			}
		}
		if g.Fwd != "miss" || h.Fwd != "" {
			x.Errorf("fetched because of %q and %q", g.Fwd, h.Fwd)
		}
	})
}

func TestNothingIsKeptOrFetchedAgainstTheRequestsWill(t *testing.T) {
	everyKind(t, func(x *tester) {
		g := x.ask(policy, Directives{NoStore: true})
		x.finish("unstored")
		x.want(g, "unstored", Miss)
		x.wantErr(x.ask(policy, Directives{OnlyIfCached: true}), ErrNotCached)
		g = x.ask(policy, Directives{})
		x.finish("one")
		x.want(g, "one", Miss)
		x.want(x.ask(policy, Directives{NoStore: true}), "one", Hit)
		time.Sleep(policy.Fresh)
		x.want(x.ask(policy, Directives{OnlyIfCached: true}), "one", Stale)
		x.wantLoads(0) // it would be fetched again for anybody else
		x.want(x.ask(policy, Directives{}), "one", Stale)
		x.wantLoads(1)
		x.finish("two")
	})
}

func TestNoDirectiveThatAsksForFreshnessGetsWhatIsStaleOnAnError(t *testing.T) {
	everyKind(t, func(x *tester) {
		x.ask(policy, Directives{})
		x.finish("one")
		time.Sleep(policy.Fresh)
		for _, d := range []Directives{{NoCache: true}, {MaxAge: new(time.Second)}, {MaxAge: new(time.Hour)}, {MinFresh: new(time.Second)}} {
			g := x.ask(policy, d)
			x.wantLoads(1)
			x.fail()
			x.wantErr(g, errLoad)
		}
	})
}
