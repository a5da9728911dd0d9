package pool

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"hearth/internal/testing/testnet"
)

func TestTheUsualIsTheMedianOfTheLastAnswersOfAKind(t *testing.T) {
	var u usuals
	if got := u.of("history"); got != 0 {
		t.Errorf("before any answer: %v", got)
	}
	for _, d := range []time.Duration{5, 1, 1000, 3, 4} {
		u.add("history", d)
	}
	u.add("relevant", 800)
	if h, r, m := u.of("history"), u.of("relevant"), u.of("mute"); h != 4 || r != 800 || m != 0 {
		t.Errorf("history %d, relevant %d, mute %d, want 4, 800 and 0", h, r, m)
	}
	for range 16 { // more than half of those that count
		u.add("history", 50)
	}
	if got := u.of("history"); got != 50 {
		t.Errorf("after 16 slower answers: %d, want 50", got)
	}
	for range 40 {
		u.add("history", 7)
	}
	if got := u.of("history"); got != 7 {
		t.Errorf("after 40 faster answers: %d, want 7", got)
	}
}

func TestKindsAreBounded(t *testing.T) {
	var u usuals
	for i := range 1000 {
		u.add(fmt.Sprint(i), time.Duration(i+1))
	}
	if len(u.kinds) > mostKinds {
		t.Errorf("%d kinds are told apart", len(u.kinds))
	}
	if first, other := u.of("0"), u.of("999"); first != 1 || other < 900 || other != u.of("never seen") {
		t.Errorf("the first kind usually takes %d, the others %d", first, other)
	}
}

func TestWhatCountsAsUsual(t *testing.T) {
	s := newSandbox(t, testnet.Config{}, nil)
	leases := s.lease(1)
	s.freeze(time.Second)
	s.answer(leases)
	if got := s.pool.stats.usual(""); got != 0 {
		t.Errorf("an answer that a freeze has interrupted: %v", got)
	}
	if _, err := s.pool.Do(With(t.Context(), Options{Kind: "history"}), Request{Method: http.MethodGet, Path: "/"}); err != nil {
		t.Fatal(err)
	}
	if history, other := s.pool.stats.usual("history"), s.pool.stats.usual(""); history <= 0 || other != 0 {
		t.Errorf("after an answer of a history: %v, and %v of other calls", history, other)
	}

	p := start(t, testnet.Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		func(c *Config) { c.Retries = -1 })
	p.want(http.StatusServiceUnavailable, Request{Method: http.MethodGet, Path: "/"})
	if got := p.pool.stats.usual(""); got != 0 {
		t.Errorf("a 503 counts: %v", got)
	}
}
