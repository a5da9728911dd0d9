package testnet

import (
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Hook sees a request before the stand-in does. It returns true if it has answered itself. It may also wait for
// r.Context().Done(), or cut the connection with panic(http.ErrAbortHandler).
type Hook func(w http.ResponseWriter, r *http.Request) (handled bool)

// Knobs lets tests watch and disturb a stand-in. The zero value is ready; it may be turned while requests run.
type Knobs struct {
	mu       sync.Mutex
	hook     Hook           // guarded by mu
	latency  time.Duration  // guarded by mu
	requests map[string]int // guarded by mu
}

// SetHook installs h in place of the last hook; nil removes it.
func (k *Knobs) SetHook(h Hook) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hook = h
}

// SetLatency makes every request that comes from now on take at least d on the server, as a database's work would.
func (k *Knobs) SetLatency(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.latency = d
}

// Requests tells how many requests came for each path, those the hook answered included.
func (k *Knobs) Requests() map[string]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.requests)
}

// Before is what a stand-in's ServeHTTP calls first. If it returns false the request is done.
func (k *Knobs) Before(w http.ResponseWriter, r *http.Request) bool {
	k.mu.Lock()
	if k.requests == nil {
		k.requests = map[string]int{}
	}
	k.requests[r.URL.EscapedPath()]++
	hook, latency := k.hook, k.latency
	k.mu.Unlock()

	if hook != nil && hook(w, r) {
		return false
	}
	if latency > 0 {
		timer := time.NewTimer(latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	return true
}

// Left is closed when the client of a request has left. A server sees that once it has read the body.
func Left(r *http.Request) <-chan struct{} {
	_, _ = io.Copy(io.Discard, r.Body)
	return r.Context().Done()
}
