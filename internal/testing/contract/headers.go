package contract

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/internal/testing/await"
)

// lines are a header's lines.
func lines(name, values string) (headers []string) {
	for v := range strings.SplitSeq(values, "\n") {
		headers = append(headers, name, v)
	}
	return headers
}

// cachingHeaders runs one list of expectations over every call that is cached.
func (s *suite) cachingHeaders(t *testing.T) {
	const ttl = 700 * time.Millisecond
	text := ttl.String()
	env := []string{
		"HEARTH_TTL_HISTORY=" + text, "HEARTH_TTL_MUTE=" + text, "HEARTH_TTL_RELEVANT=" + text, "HEARTH_TTL_ODOO_READ=" + text, "HEARTH_TTL_ODOO_MODELS=" + text,
	}
	const chat = "caching headers"
	s.common.say(t, chat, "user", "header")
	type asked func(t *testing.T, h *hearth, headers ...string) reply
	calls := map[string]asked{
		"history": func(t *testing.T, h *hearth, headers ...string) reply {
			return h.get(t, historyPath(chat, 10, 5), headers...)
		},
		"mute": func(t *testing.T, h *hearth, headers ...string) reply {
			return h.get(t, chatPath(chat, "mute"), headers...)
		},
		"relevant": func(t *testing.T, h *hearth, headers ...string) reply {
			return h.post(t, chatPath(chat, "relevant"), map[string]any{"text": "header"}, headers...)
		},
		"models": func(t *testing.T, h *hearth, headers ...string) reply { return h.get(t, "/v1/odoo/models", headers...) },
		"call": func(t *testing.T, h *hearth, headers ...string) reply {
			return h.call(t, "res.partner", "search_count", nil, map[string]any{"domain": []any{}}, headers...)
		},
	}
	for name, ask := range calls {
		t.Run(name+" obeys and describes caching", func(t *testing.T) {
			t.Parallel()
			h := s.start(t, env...)
			status := func(r reply, expected cacheStatus) {
				t.Helper()
				if r.status != http.StatusOK {
					t.Fatalf("the reply is %v", r)
				}
				got := cached(t, r)
				if got.hit != expected.hit || got.stale != expected.stale || got.fwd != expected.fwd {
					t.Errorf("Cache-Status is %q, want %+v", r.header.Get("Cache-Status"), expected)
				}
			}
			hit, miss := cacheStatus{hit: true}, cacheStatus{fwd: "miss"}

			if p := wantProblem(t, ask(t, h, "Cache-Control", "only-if-cached"), http.StatusGatewayTimeout); p.Type != "/docs/errors.md#not-cached" {
				t.Errorf("only-if-cached: %+v", p)
			}
			status(ask(t, h, "Cache-Control", "no-store"), miss)
			status(ask(t, h), miss)                  // nothing was stored
			fresh := func(headers ...string) reply { // asked within the freshness, however slow this machine is
				for {
					loading := time.Now()
					ask(t, h, "Cache-Control", "no-cache")
					if r := ask(t, h, headers...); time.Since(loading) < ttl {
						return r
					}
				}
			}
			status(fresh(), hit)
			status(fresh("Cache-Control", "only-if-cached"), hit)
			status(fresh("Cache-Control", "max-age=60"), hit) // allows no more than the policy does
			status(ask(t, h, "Cache-Control", "max-age=0"), cacheStatus{fwd: "request"})
			status(ask(t, h, "Cache-Control", "max-age=0, max-age=1000"), cacheStatus{fwd: "request"}) // the stricter one counts
			status(ask(t, h, "Cache-Control", "max-age=1000, max-age=0"), cacheStatus{fwd: "request"})
			status(fresh("Cache-Control", "min-fresh=0"), hit)
			status(ask(t, h, "Cache-Control", "min-fresh=60"), cacheStatus{fwd: "request"}) // nothing is fresh for so long
			status(fresh("Cache-Control", `extension="a, no-cache"`), hit)
			status(ask(t, h, "Cache-Control", "No-Cache, unknown=1"), cacheStatus{fwd: "request"})

			loading := time.Now()
			ask(t, h, "Cache-Control", "no-cache")
			loaded := time.Now()
			await.ThatWithin(t, 5*time.Second, "what is held turns stale", func() bool { return time.Since(loaded) > ttl+50*time.Millisecond })
			for _, control := range []string{"max-stale", "max-stale=60", "only-if-cached, max-stale=60"} {
				r := ask(t, h, "Cache-Control", control)
				status(r, cacheStatus{hit: true, stale: true})
				age, _ := strconv.Atoi(r.header.Get("Age")) // cached has checked it
				if most := int(time.Since(loading).Seconds()); age > most || age < most-1 {
					t.Errorf("Age is %d, loaded %v ago", age, time.Since(loading))
				}
			}
			wantProblem(t, ask(t, h, "Cache-Control", "only-if-cached"), http.StatusGatewayTimeout)
			wantProblem(t, ask(t, h, "Cache-Control", "max-stale=0, only-if-cached"), http.StatusGatewayTimeout)
			wantProblem(t, ask(t, h, "Cache-Control", "min-fresh=0, max-stale, only-if-cached"), http.StatusGatewayTimeout)
			for _, control := range []string{"max-age=soon", "min-fresh", "max-stale=1.5", "max-age=1, max-age=-1"} {
				if p := wantProblem(t, ask(t, h, "Cache-Control", control), http.StatusBadRequest); p.Field != "Cache-Control" {
					t.Errorf("%s: %+v", control, p)
				}
			}
			r := ask(t, h, "Cache-Control", "max-age=60") // makes nothing fresh that is not
			if c := cached(t, r); c.fwd != "stale" {
				t.Errorf("Cache-Status is %q, want fwd=stale", r.header.Get("Cache-Status"))
			}
			if r.header.Get("Server") != "hearth" {
				t.Errorf("Server is %q", r.header.Get("Server"))
			}
		})
	}
	t.Run("stale-while-revalidate serves what is held and fetches meanwhile", func(t *testing.T) {
		const policy = "300ms/1h/0s"
		h := s.start(t, "HEARTH_TTL_HISTORY="+policy, "HEARTH_TTL_MUTE="+policy, "HEARTH_TTL_RELEVANT="+policy, "HEARTH_TTL_ODOO_READ="+policy, "HEARTH_TTL_ODOO_MODELS="+policy)
		for name, ask := range calls {
			ask(t, h)
			await.ThatWithin(t, 5*time.Second, name+" is served stale", func() bool { return cached(t, ask(t, h)).stale })
			await.ThatWithin(t, 5*time.Second, name+" is fresh again without a miss", func() bool {
				c := cached(t, ask(t, h))
				if !c.hit {
					t.Fatalf("%s: %+v", name, c)
				}
				return !c.stale
			})
		}
	})
	t.Run("a GET that brings the ETag it was given is 304", func(t *testing.T) {
		h := s.start(t)
		for _, path := range []string{historyPath(chat, 10, 5), chatPath(chat, "mute"), "/v1/odoo/models"} {
			r := h.get(t, path)
			tag := r.header.Get("ETag")
			if len(tag) < 3 || tag[0] != '"' {
				t.Fatalf("%s: ETag is %q", path, tag)
			}
			for _, held := range []string{tag, `"x", ` + tag, `"x, y",W/` + tag, "W/" + tag, "*", "\"x\"\n" + tag, tag + "\n\"x\""} {
				again := h.get(t, path, lines("If-None-Match", held)...)
				if again.status != http.StatusNotModified || len(again.body) != 0 || again.header.Get("ETag") != tag {
					t.Errorf("%s with %s: %v", path, held, again)
				}
				if !cached(t, again).hit {
					t.Errorf("%s: a 304 has Cache-Status %q", path, again.header.Get("Cache-Status"))
				}
			}
			confirmed := h.get(t, path, "If-None-Match", tag, "Cache-Control", "no-cache")
			if confirmed.status != http.StatusNotModified || cached(t, confirmed).fwd != "request" {
				t.Errorf("%s confirmed by the server: %v", path, confirmed)
			}
			if other := h.get(t, path, "If-None-Match", `"x"`); other.status != http.StatusOK || string(other.body) != string(r.body) {
				t.Errorf("%s with another tag: %v", path, other)
			}
		}
		before := h.get(t, historyPath(chat, 10, 5)).header.Get("ETag")
		h.say(t, chat, "user", "one more")
		h.setMute(t, chat, map[string]any{"muted": true})
		if r := h.get(t, historyPath(chat, 10, 5), "If-None-Match", before); r.status != http.StatusOK || r.header.Get("ETag") == before {
			t.Errorf("after a write: %v", r)
		}
		if a, b := h.get(t, historyPath(chat, 10, 5)), h.get(t, historyPath(chat, 10, 1)); a.header.Get("ETag") == "" || a.header.Get("Age") != "0" || b.status != http.StatusOK {
			t.Errorf("headers are %v", a.header)
		}
		head := h.do(t, http.MethodHead, historyPath(chat, 10, 5), nil)
		if head.status != http.StatusOK || len(head.body) != 0 || head.header.Get("ETag") == "" {
			t.Errorf("HEAD: %v %v", head, head.header)
		}
	})
}
