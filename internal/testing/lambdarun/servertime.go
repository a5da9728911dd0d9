package main

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

// serverTimes are how long an upstream took for its last answer about each chat: from the last byte of the request to the first byte of
// the answer. That includes the wait for a processor within the handler. It includes nothing else that delays a request: neither its way, nor
// what the HTTP server does with it before and after the handler.
type serverTimes struct {
	mu   sync.Mutex
	last map[string]time.Duration // guarded by mu; by chat
}

// of wraps h, and measures the requests that are about one of the chats of [chatID].
func (s *serverTimes) of(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the client has left
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		at := bytes.Index(body, []byte(chatPrefix))
		if at < 0 || len(body) < at+chatBytes {
			h.ServeHTTP(w, r)
			return
		}
		chat := string(body[at : at+chatBytes])
		began := time.Now()
		h.ServeHTTP(&firstByte{ResponseWriter: w, first: sync.OnceFunc(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.last[chat] = time.Since(began)
		})}, r)
	})
}

// firstByte calls first before the first byte of an answer.
type firstByte struct {
	http.ResponseWriter

	first func()
}

func (f *firstByte) WriteHeader(status int) {
	f.first()
	f.ResponseWriter.WriteHeader(status)
}

func (f *firstByte) Write(b []byte) (int, error) {
	f.first()
	return f.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (f *firstByte) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// Flush is for an [http.Flusher].
func (f *firstByte) Flush() {
	f.first()
	_ = http.NewResponseController(f.ResponseWriter).Flush()
}

// ofChat is how long the last answer about a chat took.
func (s *serverTimes) ofChat(chat string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[chat]
}
