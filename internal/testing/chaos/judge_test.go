package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"testing"

	"hearth/client/wire"
	"hearth/internal/testing/lab/bot"
)

func TestAProblemMustBeHonest(t *testing.T) {
	of := func(kind wire.Kind, upstream string, retryable bool) *wire.Problem {
		p := wire.NewProblem(kind, "why")
		p.Upstream, p.Retryable = upstream, retryable
		return p
	}
	for name, tc := range map[string]struct {
		problem *wire.Problem
		write   bool
		want    grade
	}{
		"an upstream that fails":          {of(wire.KindUnreachable, "weaviate", true), false, failed},
		"the sidecar's own fault":         {of(wire.KindInternal, "", false), false, isWrong},
		"the caller's fault":              {of(wire.KindBadField, "", false), false, isWrong},
		"a read of unknown outcome":       {of(wire.KindUnknownOutcome, "odoo", false), false, isWrong},
		"a write of unknown outcome":      {of(wire.KindUnknownOutcome, "odoo", false), true, failed},
		"an Odoo write to be sent again":  {of(wire.KindUnknownOutcome, "odoo", true), true, isWrong},
		"a problem that says no more":     {&wire.Problem{Type: of(wire.KindTimeout, "", true).Type, Status: 504}, false, isWrong},
		"a part that blames the settings": {&wire.Problem{Type: of(wire.KindPreprocess, "", true).Type, Title: "a", Detail: "b", Status: 502, Errors: map[string]*wire.Problem{"a": of(wire.KindNotConfigured, "", false)}}, false, isWrong},
	} {
		if got := (&reply{}).judgeProblem(tc.problem, tc.write); got.what != tc.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAStaleReplyMustBeMarkedAndWithinItsPolicy(t *testing.T) {
	old := func(f bot.Freshness) error { // older than what is fresh
		if f.Mute > freshness().Mute {
			return nil
		}
		return bot.ErrStale
	}
	lost := func(bot.Freshness) error { return errors.Join(bot.ErrStale, bot.ErrLost) }
	fine := func(bot.Freshness) error { return nil }
	for name, tc := range map[string]struct {
		noCache, marked bool
		judge           func(bot.Freshness) error
		want            grade
	}{
		"fresh":                     {false, false, fine, right},
		"stale and marked":          {false, true, old, isStale},
		"stale and not marked":      {false, false, old, isWrong},
		"stale for no-cache":        {true, true, fine, isWrong},
		"marked, but a write lacks": {false, true, lost, isWrong},
	} {
		r := &reply{noCache: tc.noCache}
		if got := r.allowed(tc.marked, tc.judge); got.what != tc.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for header, want := range map[string]bool{"hearth; hit; ttl=-3": true, "hearth; hit; ttl=3": false, "hearth; fwd=stale": true, "hearth; fwd=miss": false} {
		r := &reply{header: http.Header{"Cache-Status": {header}, "Age": {"5"}}}
		if r.stale() != want {
			t.Errorf("%s: %t", header, !want)
		}
	}
}

func TestFaultsAreManyAndEachDefenceHasSome(t *testing.T) {
	names, short := map[string]bool{}, 0
	for _, f := range faults() {
		if names[f.name] {
			t.Errorf("%s is there twice", f.name)
		}
		names[f.name] = true
		if f.short {
			short++
		}
	}
	if len(names) < 35 || short < 15 {
		t.Errorf("%d faults, %d in the short form", len(names), short)
	}
	for _, d := range defences() {
		only, some := regexp.MustCompile(d.faults), false
		for name := range names {
			some = some || only.MatchString(name)
		}
		if !some {
			t.Errorf("no fault shows %s", d.name)
		}
	}
}

func TestStacksAreCounted(t *testing.T) {
	got := parseGoroutines("goroutine profile: total 3\n2 @ 0x1 0x2\n#\t0x1\ta.b+0x1\tf.go:1\n#\t0x2\tc.d+0x2\tg.go:2\n\n1 @ 0x3\n#\t0x3\te.f+0x3\th.go:3\n")
	want := map[string]int{"a.b < c.d": 2, "e.f": 1}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("%s, want %s", a, b)
	}
}
