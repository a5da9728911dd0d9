package pool

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"hearth/internal/testing/testnet"
)

func TestARedirectIsAFinalErrorThatNamesWhereItLeads(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for location, want := range map[string]string{
			"https://me:hunter2@example.com/moved%2Fon?key=hunter2#hunter2": "https://example.com/moved%2Fon",
			"/elsewhere?key=hunter2": "http://HERE/elsewhere",
			"":                       "",
			"http://%zz":             "",
			"https://long.example/" + strings.Repeat("x", 1000): "https://long.example/" + strings.Repeat("x", 491),
		} {
			asked := 0
			p := start(t, testnet.Config{}, func(w http.ResponseWriter, _ *http.Request) {
				asked++
				if location != "" {
					w.Header().Set("Location", location)
				}
				w.WriteHeader(status)
			}, func(c *Config) { c.Variable = "THE_URL" })
			want = strings.Replace(want, "HERE", strings.TrimPrefix(p.server.URL, "http://"), 1)
			for _, req := range []Request{{Method: http.MethodGet, Path: "/"}, {Method: http.MethodPost, Path: "/"}} {
				e := p.fails(t.Context(), req)
				r, ok := errors.AsType[*RedirectError](e)
				if !ok || r.Status != status || r.Location != want || e.Sent {
					t.Errorf("%d to %q: sent %t, %v", status, location, e.Sent, e)
				}
				if text := e.Error(); strings.Contains(text, "hunter2") || !strings.Contains(text, "THE_URL") {
					t.Errorf("%d to %q is told as %q", status, location, text)
				}
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.server.URL+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := p.pool.Client().Do(req)
			if _, ok := errors.AsType[*RedirectError](err); !ok {
				t.Fatalf("the client got %v, %v", resp, err)
			}
			if asked != 3 {
				t.Errorf("%d to %q: asked %d times for 3 calls", status, location, asked)
			}
			if s := p.pool.Stats(); s.Dials != 1 || s.RoundTrip.Count != 3 {
				t.Errorf("a redirect is no answer that proves the connection: %+v", s)
			}
		}
	}
}

func TestARedirectAfterATryThatMayHaveArrivedLeavesTheOutcomeOpen(t *testing.T) {
	asked := 0
	p := start(t, testnet.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}, nil)
	if e := p.fails(t.Context(), Request{Method: http.MethodPost, Path: "/", Repeatable: true}); !e.Sent || asked != 2 {
		t.Errorf("asked %d times, sent %t: %v", asked, e.Sent, e)
	}
}

func TestAnswersThatLeadNowhereElseAreNoRedirects(t *testing.T) {
	for _, status := range []int{300, 304, 305} {
		p := start(t, testnet.Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}, nil)
		p.want(status, Request{Method: http.MethodGet, Path: "/"})
	}
}

func TestAWarmUpTakesARedirectForAnAnswer(t *testing.T) {
	p := start(t, testnet.Config{TLS: true, HTTP2: true}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}, nil)
	for range 2 { // the second is a ping
		if err := p.pool.Warm(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if s := p.pool.Stats(); s.RoundTrip.Count == 0 {
		t.Errorf("nothing was asked: %+v", s)
	}
}

func TestEveryRequestSaysWhichProgramSentIt(t *testing.T) {
	var seen []string
	p := start(t, testnet.Config{}, func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.UserAgent())
	}, func(c *Config) { c.UserAgent = "program/1" })
	p.get("/")
	p.want(http.StatusOK, Request{Method: http.MethodPost, Path: "/", Header: http.Header{"User-Agent": {"a library's"}}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.server.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.pool.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := strings.Join(seen, " "); got != "program/1 program/1 program/1" {
		t.Errorf("the upstream saw %q", got)
	}
}
