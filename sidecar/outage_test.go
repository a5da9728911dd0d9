package sidecar

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/sidecar/chat"
)

// outage is an API that holds a little of a chat for a moment, and serves it stale for an hour.
func outage(t testing.TB) *api {
	return newAPI(t, newUpstreams().withClasses("text", "text"), func(_ *Config, c *chat.Config) {
		for _, r := range cache.Resources() {
			c.Policies[r] = cache.Policy{Fresh: time.Millisecond, IfError: time.Hour}
		}
	})
}

// downs are the ways in which an upstream is down.
func downs(t testing.TB) map[string]func(http.ResponseWriter, *http.Request) bool {
	status := func(n int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(n); return true }
	}
	return map[string]func(http.ResponseWriter, *http.Request) bool{
		"503": status(503), "500": status(500), "429": status(429), "hangs": silence(t),
		"hangs up": func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
	}
}

const holdsAll = `{"chat_id":"a","text":"x","route_name":"odoo_erp","enable_odoo":true,"num_messages":5}`

func TestInAnOutageWhatWasHeldIsServedAndMarked(t *testing.T) {
	for _, name := range []string{"503", "500", "429", "hangs", "hangs up"} {
		a := outage(t)
		down := downs(t)[name] // after the servers, which end only when nothing hangs
		a.want(http.StatusCreated, http.MethodPost, "/v1/chats/a/messages", `{"role":"user","content":"before"}`)
		a.want(http.StatusOK, http.MethodPut, "/v1/chats/a/mute", `{"muted":true}`)
		a.want(http.StatusOK, http.MethodPost, "/v1/preprocess", holdsAll)
		a.weaviate.SetHook(down)
		a.odoo.SetHook(down)
		time.Sleep(2 * time.Millisecond)
		ask := func(method, path, body string, headers ...string) answer {
			return a.do(method, path, body, append(headers, wire.HeaderTimeout, "300")...)
		}
		for path, want := range map[string]string{"/v1/chats/a/history?num_messages=5": "before", "/v1/chats/a/mute": `"muted":true`, "/v1/odoo/models": "res.partner"} {
			got := ask(http.MethodGet, path, "")
			status := got.header.Get("Cache-Status")
			forwarded := strings.HasPrefix(status, "hearth; fwd=stale") && !strings.Contains(status, "hit")
			unasked := strings.HasPrefix(status, "hearth; hit; ttl=-") // the breaker has opened
			if got.status != http.StatusOK || !strings.Contains(got.body, want) || !forwarded && !unasked {
				t.Errorf("%s: %s: %d %s %s", name, path, got.status, status, got.body)
			}
			for _, directive := range []string{"no-cache", "max-age=0", "min-fresh=1", "max-stale=0"} {
				if got := ask(http.MethodGet, path, "", "Cache-Control", directive); got.status < 500 {
					t.Errorf("%s: %s with %s: %d %s", name, path, directive, got.status, got.body)
				}
			}
			if got := ask(http.MethodGet, path, "", "Cache-Control", "max-stale=5"); got.status != http.StatusOK || !got.hit() {
				t.Errorf("%s: %s with max-stale: %d %v", name, path, got.status, got.header)
			}
		}
		p := decoded[wire.Preprocess](t, ask(http.MethodPost, "/v1/preprocess", holdsAll).body)
		for _, part := range []string{wire.PartMute, wire.PartHistory, wire.PartOdoo, wire.PartRelevant} {
			if p.Cache[part] != "stale" || p.Errors[part] != nil {
				t.Errorf("%s: %s is %q, %v", name, part, p.Cache[part], p.Errors[part])
			}
		}
		if p.MuteStatus == nil || !p.MuteStatus.Muted {
			t.Errorf("%s: the bot speaks: %+v", name, p.MuteStatus)
		}
		if name != "hangs" {
			if got := ask(http.MethodPut, "/v1/chats/a/mute", `{"muted":false}`); got.status < 400 {
				t.Errorf("%s: the write is a %d", name, got.status)
			} else if still := ask(http.MethodGet, "/v1/chats/a/mute", ""); still.body != `{"muted":true}` {
				t.Errorf("%s: after a write that was not sent the mute is %s", name, still.body)
			}
		}
	}
}

// The load behind a read may take longer than its caller has time. If an upstream asks for a longer wait than that, the caller learns it at
// once.
func TestACallerIsToldAtOnceOfARetryAfterThatIsTooLongForIt(t *testing.T) {
	u := newUpstreams().withClasses("text", "text")
	u.retries = 2
	a := newAPI(t, u, nil)
	later := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "3") // less than a load may take
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	a.weaviate.SetHook(later)
	a.odoo.SetHook(later)
	for _, call := range []struct{ method, path, body string }{
		{http.MethodGet, "/v1/odoo/models", ""},
		{http.MethodPost, "/v1/odoo/call", `{"model":"res.partner","method":"search_read","kwargs":{"domain":[]}}`},
		{http.MethodPost, "/v1/chats/a/relevant", `{"text":"x"}`},
		{http.MethodPost, "/v1/preprocess", holdsAll},
	} {
		got := a.do(call.method, call.path, call.body, wire.HeaderTimeout, "3000")
		p := got.problem(t)
		if got.status < 500 || got.status == http.StatusGatewayTimeout || !p.Retryable || p.Detail == "" || got.header.Get("Retry-After") != "3" {
			t.Errorf("%s: %d %v %s", call.path, got.status, got.header, got.body)
		}
		for part, p := range p.Errors {
			if p.Detail == "" {
				t.Errorf("%s: %s has no detail", call.path, part)
			}
		}
	}
}

func TestARightAnswerThatSaysNoIsNotCovered(t *testing.T) {
	for name, refuse := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"the key":  func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusUnauthorized); return true },
		"a right":  func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true },
		"the path": func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusNotFound); return true },
		"redirects": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://127.0.0.1:9/", http.StatusFound)
			return true
		},
	} {
		a := outage(t)
		a.want(http.StatusOK, http.MethodPost, "/v1/preprocess", holdsAll)
		a.weaviate.SetHook(refuse)
		a.odoo.SetHook(refuse)
		time.Sleep(2 * time.Millisecond)
		for _, path := range []string{"/v1/chats/a/history?num_messages=5", "/v1/chats/a/mute", "/v1/odoo/models"} {
			if got := a.do(http.MethodGet, path, ""); got.status < 400 || got.problem(t).Retryable {
				t.Errorf("%s is refused: %s: %d %s", name, path, got.status, got.body)
			}
		}
	}
}

func TestAModelThatDoesNotExistIsAskedForOnceInSeconds(t *testing.T) {
	a := newAPI(t, newUpstreams(), nil)
	asked := func() (n int) {
		for _, m := range a.odoo.Requests() {
			n += m
		}
		return n
	}
	const nope, call = "/v1/odoo/models?names=no.such", `{"model":"no.such","method":"search_read","args":[[]]}`
	hit := func(method, path, body string) {
		t.Helper()
		before := asked()
		got := a.do(method, path, body)
		if p := got.problem(t); got.status != http.StatusNotFound || !got.hit() || got.header.Get("Age") == "" || p.Retryable || asked() != before {
			t.Errorf("%s: %d %v %s", path, got.status, got.header, got.body)
		}
	}
	miss := func(method, path, body string) {
		t.Helper()
		before := asked()
		if got := a.do(method, path, body); got.status != http.StatusNotFound || got.hit() || asked() == before {
			t.Errorf("%s: %d %v %s", path, got.status, got.header, got.body)
		}
	}
	miss(http.MethodGet, nope, "")
	hit(http.MethodGet, nope, "")
	miss(http.MethodPost, "/v1/odoo/call", call)
	hit(http.MethodPost, "/v1/odoo/call", call)
	a.want(http.StatusOK, http.MethodGet, "/v1/odoo/models?names=res.partner", "")
	if got := a.want(http.StatusOK, http.MethodGet, "/v1/odoo/models?names=res.partner,no.such", ""); !got.hit() || !strings.Contains(got.body, `"errors":{"no.such"`) {
		t.Errorf("%v %s", got.header, got.body)
	}
	for _, drop := range []func(){
		func() { a.want(http.StatusOK, http.MethodDelete, "/v1/cache?model=no.such", "") },
		func() { a.want(http.StatusOK, http.MethodDelete, "/v1/cache", "") },
		func() { a.do(http.MethodPost, "/v1/odoo/call", `{"model":"no.such","method":"write","args":[[1],{}]}`) },
	} {
		drop()
		miss(http.MethodGet, nope, "")
		hit(http.MethodGet, nope, "")
	}
}

func TestAWriteThatWasNotSentLeavesWhatCanBeServedStale(t *testing.T) {
	const read, write = `{"model":"res.partner","method":"search_read","args":[[]]}`, `{"model":"res.partner","method":"write","args":[[1],{"name":"x"}]}`
	a := outage(t)
	a.want(http.StatusOK, http.MethodPost, "/v1/odoo/call", read)
	a.odoo.SetHook(downs(t)["hangs up"])
	for range 100 { // until the breaker opens
		if got := a.do(http.MethodPost, "/v1/odoo/call", read, "Cache-Control", "no-cache"); got.status == http.StatusServiceUnavailable {
			break
		}
	}
	if p := a.do(http.MethodPost, "/v1/odoo/call", write).problem(t); p.Kind() != wire.KindUnavailable {
		t.Fatalf("the write is a %+v", p)
	}
	if got := a.want(http.StatusOK, http.MethodPost, "/v1/odoo/call", read); !strings.HasPrefix(got.header.Get("Cache-Status"), "hearth; hit; ttl=-") {
		t.Errorf("%v", got.header)
	}
}

// besideAnOdooThatHangs sends preprocesses with a timeout_ms, four at a time, beside an Odoo that does not answer before they end. It
// returns the answers and how long each took.
func besideAnOdooThatHangs(t testing.TB, limit time.Duration, runs int) ([]answer, []time.Duration) {
	u := newUpstreams().withClasses("text", "text")
	u.timeout = time.Hour
	a := newAPI(t, u, func(_ *Config, c *chat.Config) {
		c.Policies = nil // every part is asked for
	})
	end := make(chan struct{})
	defer close(end)
	a.want(http.StatusOK, http.MethodPost, "/v1/preprocess", holdsAll)
	a.odoo.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-end:
		}
		return true
	})
	body := strings.Replace(holdsAll, "{", fmt.Sprintf(`{"timeout_ms":%d,`, limit.Milliseconds()), 1)
	answers, took := make([]answer, runs), make([]time.Duration, runs)
	var g sync.WaitGroup
	for worker := range 4 {
		g.Go(func() {
			for i := worker; i < runs; i += 4 {
				start := time.Now()
				answers[i] = a.do(http.MethodPost, "/v1/preprocess", body)
				took[i] = time.Since(start)
			}
		})
	}
	g.Wait()
	return answers, took
}

// allButOdoo says whether a preprocess has every part but Odoo's, and a right reason why that one is missing.
func (a answer) allButOdoo() bool {
	var p wire.Preprocess
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != http.StatusOK {
		return false
	}
	e := p.Errors[wire.PartOdoo]
	return p.MuteStatus != nil && p.History != nil && p.RelevantMessages != nil && len(p.Errors) == 1 &&
		e != nil && (e.Kind() == wire.KindTimeout || e.Kind() == wire.KindUnavailable) && e.Retryable && e.Upstream == "odoo"
}

// The time is one that a slow machine keeps too; BenchmarkPartsInTime has a short one.
func TestPartsInTimeAreNotHeldUpByAnUpstreamThatHangs(t *testing.T) {
	answers, took := besideAnOdooThatHangs(t, 3*time.Second, 40)
	for i, got := range answers {
		if !got.allButOdoo() || took[i] > 20*time.Second { // without a timeout_ms it would take 30 s
			t.Errorf("run %d, after %v: %d %s", i, took[i], got.status, got.body)
		}
	}
}

// BenchmarkPartsInTime counts the preprocesses that have all parts but Odoo's within 300 ms.
func BenchmarkPartsInTime(b *testing.B) {
	const runs = 100
	for b.Loop() {
		answers, took := besideAnOdooThatHangs(b, 300*time.Millisecond, runs)
		whole := 0
		for _, got := range answers {
			if got.allButOdoo() {
				whole++
			}
		}
		slices.Sort(took)
		b.ReportMetric(float64(whole)/runs, "whole/run")
		b.ReportMetric(float64(took[runs/2].Milliseconds()), "p50-ms")
		b.ReportMetric(float64(took[runs-1].Milliseconds()), "max-ms")
	}
}
