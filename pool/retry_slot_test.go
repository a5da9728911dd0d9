package pool

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Another call proceeds meanwhile, though there is one slot for all.
func TestACallThatWaitsToTryAgainHoldsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1", Size: 1})
		var asked []string
		next := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			if p.Stats().InUse != 1 {
				t.Error("a request goes out without a slot")
			}
			asked = append(asked, req.URL.Path)
			if req.URL.Path == "/busy" && len(asked) == 1 {
				return answer(http.StatusServiceUnavailable, "1", "")()
			}
			return answer(http.StatusOK, "", "")()
		})
		p.chain = newRetry(p.guarded(next), p.cfg, &p.stats)
		busy := make(chan error)
		go func() { _, err := p.Do(t.Context(), Request{Method: http.MethodGet, Path: "/busy"}); busy <- err }()
		synctest.Wait()
		if n := p.Stats().InUse; n != 0 {
			t.Errorf("%d slots are in use while nothing is on its way", n)
		}
		begun := time.Now()
		if _, err := p.Do(t.Context(), Request{Method: http.MethodPost, Path: "/other"}); err != nil || time.Since(begun) > 0 {
			t.Errorf("the other call: %v after %v", err, time.Since(begun))
		}
		if err := <-busy; err != nil {
			t.Error(err)
		}
		if got := strings.Join(asked, " "); got != "/busy /other /busy" {
			t.Errorf("asked: %s", got)
		}
	})
}

// What is asked for again may find a queue that is full by now: the call ends then, and says that it may have arrived.
func TestACallThatFindsTheQueueFullWhenItTriesAgainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1", Size: 1, Queue: 1, Timeout: time.Minute})
		next := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			optionsOf(req.Context()).countSent(1)
			if req.URL.Path == "/busy" {
				return answer(http.StatusServiceUnavailable, "1", "")()
			}
			time.Sleep(10 * time.Second)
			return answer(http.StatusOK, "", "")()
		})
		p.chain = newRetry(p.guarded(next), p.cfg, &p.stats)
		var others sync.WaitGroup
		go func() {
			time.Sleep(time.Millisecond)
			for range 2 { // one has the slot, the other waits
				others.Go(func() { _, _ = p.Do(t.Context(), Request{Method: http.MethodPost, Path: "/slow"}) })
			}
		}()
		_, err := p.Do(t.Context(), Request{Method: http.MethodGet, Path: "/busy"})
		if e, ok := errors.AsType[*Error](err); !ok || !e.Sent || !errors.Is(err, ErrQueueFull) {
			t.Errorf("got %v", err)
		}
		others.Wait()
	})
}
