package sidecar

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/executor"
	"hearth/internal/monitor/advice"
	"hearth/sidecar/chat"
)

func TestAdviceComesOfWhatWasMeasured(t *testing.T) {
	var waits executor.Waits
	a := newAPI(t, newUpstreams().withClasses("text", "text"), func(c *Config, s *chat.Config) {
		c.Workers, c.Waits, s.Workers, s.Waits = 2, &waits, 2, &waits
		c.Mixing = func() map[string]string { return map[string]string{"Message": "word"} }
		c.Advice = advice.Settings{Policies: map[cache.Resource]cache.Policy{}, MemoryLimit: 1, FunctionMemory: 1}
	})
	advised := func() map[string]wire.Advice {
		t.Helper()
		all := map[string]wire.Advice{}
		for _, one := range decoded[wire.Advices](t, a.want(http.StatusOK, http.MethodGet, wire.PathAdvice, "").body).Advice {
			all[one.Rule] = one
		}
		return all
	}
	if got := advised(); len(got) != 1 || got["memory"].Text == "" {
		t.Errorf("before the first read: %v", got)
	}
	for n := range 20 {
		a.want(http.StatusOK, http.MethodGet, fmt.Sprintf("/v1/chats/c%d/history", n), "")
	}
	if text := advised()["class-tokenization"].Text; !strings.Contains(text, "20 reads") {
		t.Errorf("after 20 reads: %q", text)
	}
}

// A batch that says itself how many of its requests run at once does not use HEARTH_WORKERS.
func TestWhatWaitsForAWorkerIsCounted(t *testing.T) {
	var waits executor.Waits
	a := newAPI(t, newUpstreams().withClasses("text", "text"), func(c *Config, s *chat.Config) { c.Workers, c.Waits, s.Workers, s.Waits = 2, &waits, 2, &waits })
	batch := func(n, parallel int) {
		t.Helper()
		b := wire.Batch{MaxParallel: parallel}
		for i := range n {
			b.Requests = append(b.Requests, wire.BatchRequest{ID: fmt.Sprint(i), Method: http.MethodGet, Path: fmt.Sprintf("/v1/chats/c%d/mute", i)})
		}
		a.batch(b)
	}
	batch(2, 0)
	batch(7, 0)
	batch(9, 3)
	a.want(http.StatusOK, http.MethodPost, wire.PathPreprocess, `{"chat_id":"p","text":"hello","route_name":"odoo_erp","enable_odoo":true,"num_messages":5}`)
	got := waits.Counts()
	if got.Runs != 3 || got.Crowded != 2 || got.Most != 7 || got.Waited <= 0 {
		t.Errorf("%+v", got)
	}
}
