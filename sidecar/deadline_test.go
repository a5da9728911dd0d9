package sidecar

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/client/wire"
	"hearth/sidecar/chat"
)

func TestWhatIsLeftOfTheInvocationIsAPositiveWholeNumber(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	for _, wrong := range []string{"", "0", "00", "-1", "+5", "1.5", "1e3", "0x10", "5 6", "1,2", "ms", "٣", "-99999999999999999999"} {
		a.refuses(wire.HeaderTimeout, http.MethodGet, "/healthz", "", wire.HeaderTimeout, wrong)
		a.refuses(wire.HeaderTimeout, http.MethodGet, "/v1/chats/a/mute", "", wire.HeaderTimeout, "100", wire.HeaderTimeout, wrong)
	}
	for _, right := range []string{"1000", "007000", "900000", "900001", "99999999999999999999999999"} {
		a.refuses("", http.MethodGet, "/v1/chats/a/mute", "", wire.HeaderTimeout, right)
	}
}

func TestARequestHasTheSmallestOfItsTimes(t *testing.T) {
	const none = 0
	for _, c := range []struct{ setting, margin, left, timeout, read, write time.Duration }{
		{30000, 200, none, none, 30000, 30000},
		{30000, 200, none, 300, 300, 300}, // timeout_ms is taken as given
		{30000, 200, none, 60000, 60000, 60000},
		{30000, 200, 3000, none, 1866, 2800}, // the margin off, and two thirds of the rest
		{30000, 200, 1000, none, 600, 900},   // the margin is a tenth at most
		{30000, 0, 3000, none, 2000, 3000},
		{30000, 200, 3000, 300, 300, 300},
		{30000, 200, 3000, 2500, 1866, 2500},
		{1000, 200, 3000, none, 1000, 1000},
	} {
		s := newServer(t, Config{Timeout: c.setting * time.Millisecond, DeadlineMargin: c.margin * time.Millisecond})
		r := &request{server: s, left: c.left * time.Millisecond, timeout: c.timeout * time.Millisecond}
		if read, write := r.readTime().Milliseconds(), r.writeTime().Milliseconds(); read != int64(c.read) || write != int64(c.write) {
			t.Errorf("%v ms left, timeout %v ms: a read has %d ms and a write %d ms, want %v and %v", int64(c.left), int64(c.timeout), read, write, int64(c.read), int64(c.write))
		}
	}
}

func TestARequestsTimeBeginsWhenItCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{})
		r := s.newRequest(t.Context(), &fasthttp.RequestCtx{}, false)
		defer s.release(r)
		r.left = 3 * time.Second
		time.Sleep(500 * time.Millisecond) // its body comes
		start := time.Now()
		<-r.readContext().Done()
		if took := time.Since(start); took != 1500*time.Millisecond {
			t.Errorf("the work has %v", took)
		}
	})
}

func TestForMeasurementsWhatIsLeftIsIgnored(t *testing.T) {
	a := newAPI(t, newUpstreams(), func(c *Config, _ *chat.Config) { c.NoDeadline = true })
	a.refuses("", http.MethodGet, "/healthz", "", wire.HeaderTimeout, "soon")
}

// silence makes an upstream accept requests and never answer, until the test ends.
func silence(t testing.TB) (hook func(http.ResponseWriter, *http.Request) bool) {
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	return func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-end:
		case <-r.Context().Done():
		}
		return true
	}
}

func TestEveryCallEndsWithItsInvocation(t *testing.T) {
	for _, known := range []bool{false, true} { // is it known what the classes are like?
		u := newUpstreams().withClasses("text", "text")
		u.policy.NoBreaker = true // it would answer before the deadline
		a := newAPI(t, u, func(c *Config, s *chat.Config) {
			c.Upstreams = []Upstream{{Name: "weaviate", Ask: s.Weaviate.Ask}, {Name: "odoo", Ask: s.Odoo.Ping}}
		})
		if known {
			a.want(http.StatusOK, http.MethodGet, "/v1/chats/known/history", "")
			a.want(http.StatusOK, http.MethodGet, "/v1/chats/known/mute", "")
			a.want(http.StatusOK, http.MethodGet, "/v1/odoo/models?names=res.users", "") // Odoo is connected
		}
		a.weaviate.SetHook(silence(t))
		a.odoo.SetHook(silence(t))
		for _, c := range []struct {
			method, path, body string
			status             int
			kind               wire.Kind
		}{
			{"POST", "/v1/odoo/call", `{"model":"res.partner","method":"write","args":[[1],{"name":"x"}]}`, unlessSent(known, 502), unlessSent(known, wire.KindUnknownOutcome)},
			{"GET", "/v1/chats/a/history", "", 504, wire.KindTimeout},
			{"HEAD", "/v1/chats/a/history", "", 504, ""},
			{"GET", "/v1/chats/a/mute", "", 504, wire.KindTimeout},
			{"HEAD", "/v1/chats/a/mute", "", 504, ""},
			{"POST", "/v1/chats/a/relevant", `{"text":"x"}`, 504, wire.KindTimeout},
			{"GET", "/v1/odoo/models?names=res.company", "", 504, wire.KindTimeout},
			{"GET", "/v1/odoo/models?names=res.groups,res.company", "", 504, wire.KindTimeout},
			{"POST", "/v1/odoo/call", `{"model":"res.partner","method":"search_read","args":[[]]}`, 504, wire.KindTimeout},
			{"POST", "/v1/chats/a/messages", `{"role":"user","content":"x"}`, unlessSent(known, 502), unlessSent(known, wire.KindUnknownOutcome)},
			{"PUT", "/v1/chats/a/mute", `{"muted":true}`, 504, wire.KindTimeout}, // its read of the mute is silent, so nothing is written
			{"DELETE", "/v1/cache?chat=a", "", 200, ""},
			{"GET", "/readyz", "", 503, ""},
			{"POST", "/v1/preprocess", `{"chat_id":"a","text":"x","route_name":"odoo_erp","enable_odoo":true,"num_messages":5}`, 502, wire.KindPreprocess},
		} {
			name := fmt.Sprintf("classes known: %t: %s %s", known, c.method, c.path)
			start := time.Now()
			got := a.do(c.method, c.path, c.body, wire.HeaderTimeout, "300")
			if took := time.Since(start); took > 5*time.Second { // far less than the pools' timeouts and the settings'
				t.Errorf("%s: it took %v", name, took)
			}
			if got.status != c.status {
				t.Errorf("%s: %d %s, want %d", name, got.status, got.body, c.status)
				continue
			}
			if c.kind == "" {
				continue
			}
			p := got.problem(t)
			if p.Kind() != c.kind || p.Retryable != (c.kind != wire.KindUnknownOutcome) || c.kind != wire.KindPreprocess && p.Upstream == "" {
				t.Errorf("%s: %s", name, got.body)
			}
			for part, e := range p.Errors {
				if e.Kind() != wire.KindTimeout || e.Status != http.StatusGatewayTimeout || !e.Retryable || e.Upstream == "" {
					t.Errorf("%s: %s is %+v", name, part, e)
				}
			}
		}
	}
}

// unlessSent is what becomes of a write: if nothing is known of the upstream yet, the write is not sent.
func unlessSent[T int | wire.Kind](sent bool, then T) T {
	if sent {
		return then
	}
	if t, ok := any(&then).(*int); ok {
		*t = http.StatusGatewayTimeout
	}
	if k, ok := any(&then).(*wire.Kind); ok {
		*k = wire.KindTimeout
	}
	return then
}

func TestAQuestionOfReadyzIsNotTheFirstCallersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{Upstreams: []Upstream{{Name: "odoo", Ask: func(ctx context.Context) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}}}})
		ask := func(left time.Duration) int {
			r := s.newRequest(t.Context(), &fasthttp.RequestCtx{}, false)
			defer s.release(r)
			r.left = left
			if err := s.ready(r); err != nil {
				t.Error(err)
			}
			return r.Response.StatusCode()
		}
		first := make(chan int)
		start := time.Now()
		go func() { first <- ask(300 * time.Millisecond) }()
		synctest.Wait()
		second := make(chan int)
		go func() { second <- ask(0) }()
		if status := <-first; status != http.StatusServiceUnavailable || time.Since(start) != 200*time.Millisecond {
			t.Errorf("the impatient call is a %d after %v", status, time.Since(start))
		}
		if status := <-second; status != http.StatusOK || time.Since(start) != time.Second {
			t.Errorf("the patient call is a %d after %v", status, time.Since(start))
		}
	})
}
