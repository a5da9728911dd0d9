package main

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/lab"
)

// seed writes 20 turns into a chat, and mutes every third chat.
func seed(u *lab.Upstreams, n int) error {
	const turns = 20
	chat, begin := lab.ChatID(n), time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	id := func(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%06d%06d", n, i) }
	objects := []lab.Object{{Class: "ChatStatus", ID: id(0), Properties: map[string]any{"chat_id": chat, "muted": n%3 == 0}}}
	for i := range turns {
		said := map[wire.Role]string{
			wire.RoleUser:      fmt.Sprintf("Where is parcel number %d of our order? It should have been here on day %d.", n+i, i),
			wire.RoleAssistant: fmt.Sprintf("Parcel number %d is in %s, and comes tomorrow.", n+i, []string{"Ghent", "Lyon", "Porto", "Turin"}[i%4]),
		}
		for j, role := range []wire.Role{wire.RoleUser, wire.RoleAssistant} {
			objects = append(objects, lab.Object{Class: "Message", ID: id(1 + 2*i + j), Properties: map[string]any{
				"chat_id": chat, "role": role, "content": said[role],
				"created_at": begin.Add(time.Duration(2*i+j) * time.Second).Format(time.RFC3339),
			}})
		}
	}
	return u.Store(objects...)
}

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
