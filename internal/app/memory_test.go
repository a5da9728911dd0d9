package app

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"hearth/internal/clock"
	"hearth/internal/settings"
	"hearth/internal/testing/testnet"
	"hearth/pool"
)

func TestAnUpstreamThatEndsNoAnswerLeavesTheOtherItsMemory(t *testing.T) {
	const calls = 2 // at the same time, as many as Odoo's pool makes
	begun, end := make(chan struct{}, calls), make(chan struct{})
	slow, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 12<<20)) // more than sockets hold: it is being read
		_ = http.NewResponseController(w).Flush()
		begun <- struct{}{}
		<-end
	}), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slow.Close() })
	large := bytes.Repeat([]byte("x"), 1<<20)
	good, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) }), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = good.Close() })

	s, err := settings.Read([]string{"HEARTH_ODOO_URL=" + slow.URL, "HEARTH_ODOO_KEY=x", "HEARTH_WEAVIATE_URL=" + good.URL, "HEARTH_WEAVIATE_TIMEOUT=3s"})
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(s, clock.Awake(), io.Discard, Options{})
	if err := a.addUpstreams(s); err != nil {
		t.Fatal(err)
	}
	defer a.close()
	get := pool.Request{Method: http.MethodGet, Path: "/"}
	rest, odoo := a.upstreams[0].Pools["rest"], a.upstreams[1].Pools[""]
	var waiting sync.WaitGroup
	for range calls {
		waiting.Go(func() {
			if _, err := odoo.Do(t.Context(), get); err != nil {
				t.Errorf("the slow upstream: %v", err)
			}
		})
	}
	<-begun
	select {
	case <-begun:
	case <-time.After(500 * time.Millisecond): // the second may have to wait for the first
	}
	if _, err := rest.Do(t.Context(), get); err != nil {
		t.Errorf("the other upstream: %v", err)
	}
	close(end)
	waiting.Wait()
}

func TestAnAnswerOfEitherUpstreamHasTheBoundOfTheSettings(t *testing.T) {
	large, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 5<<20)) }), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = large.Close() })
	for cache, fits := range map[string]bool{"256KiB": false, "32MiB": true} { // 4 MiB and 8 MiB
		s, err := settings.Read([]string{"HEARTH_ODOO_URL=" + large.URL, "HEARTH_ODOO_KEY=x", "HEARTH_WEAVIATE_URL=" + large.URL, "HEARTH_CACHE_BYTES=" + cache})
		if err != nil {
			t.Fatal(err)
		}
		a := newApp(s, clock.Awake(), io.Discard, Options{})
		if err := a.addUpstreams(s); err != nil {
			t.Fatal(err)
		}
		for name, p := range map[string]*pool.Pool{"weaviate": a.upstreams[0].Pools["rest"], "odoo": a.upstreams[1].Pools[""]} {
			_, err := p.Do(t.Context(), pool.Request{Method: http.MethodGet, Path: "/"})
			if errors.Is(err, pool.ErrTooLarge) == fits || fits && err != nil {
				t.Errorf("%s with a cache of %s: %v", name, cache, err)
			}
		}
		a.close()
	}
}
