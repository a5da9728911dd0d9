package sidecar

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/valyala/fasthttp"
)

func TestCallsOfReadyzAtTheSameTimeShareOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var questions atomic.Int64
		answer := make(chan error)
		s := New(Config{Upstreams: []Upstream{{Name: "weaviate", Ask: func(context.Context) error {
			questions.Add(1)
			return <-answer
		}}}})
		ask := func(calls int, with error, status int, asked int64) {
			t.Helper()
			var g sync.WaitGroup
			for range calls {
				g.Go(func() {
					r := &request{RequestCtx: &fasthttp.RequestCtx{}, ctx: t.Context()}
					if err := s.ready(r); err != nil || r.Response.StatusCode() != status {
						t.Errorf("%v: %d %s, want %d", err, r.Response.StatusCode(), r.Response.Body(), status)
					}
				})
			}
			synctest.Wait()
			if n := questions.Load(); n != asked {
				t.Errorf("%d questions, want %d", n, asked)
			}
			select {
			case answer <- with:
			default: // nobody asked
			}
			g.Wait()
		}
		ask(20, errors.New("down"), http.StatusServiceUnavailable, 1)
		ask(20, nil, http.StatusOK, 2)
		ask(20, nil, http.StatusOK, 2)
	})
}
