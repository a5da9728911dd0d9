package main

import (
	"net/http"
	"sync"
	"time"
)

// serverTime is the time of the upstreams' slowest request, which no client can save.
type serverTime struct {
	mu      sync.Mutex
	longest time.Duration // guarded by mu
}

// of wraps h and measures its requests.
func (s *serverTime) of(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		defer func() {
			took := time.Since(began)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.longest = max(s.longest, took)
		}()
		h.ServeHTTP(w, r)
	})
}

// take returns the longest time since the last call.
func (s *serverTime) take() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.longest = 0 }()
	return s.longest
}
