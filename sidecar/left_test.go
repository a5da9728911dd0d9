package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/client/wire"
)

// leaving is a door whose calls wait: /v1/read as a read does, /v1/write as a write.
type leaving struct {
	*door
	ended chan error // why the call's context has ended; nil: it was released
}

func newLeaving(t *testing.T, network string) leaving {
	l := leaving{newDoor(t, network, Config{}), make(chan error, 10)}
	for path, contextOf := range map[string]func(*request) context.Context{"/v1/read": (*request).readContext, "/v1/write": (*request).writeContext} {
		l.router.plain[path] = []route{{method: http.MethodGet, path: path, handle: func(_ *Server, r *request) error {
			ctx := contextOf(r)
			l.came <- struct{}{}
			select {
			case <-ctx.Done():
				l.ended <- context.Cause(ctx)
				return context.Cause(ctx)
			case <-l.release:
				l.ended <- nil
				return r.sendJSON(http.StatusOK, "done")
			}
		}}}
	}
	return l
}

func rawBatch(paths ...string) string {
	for i, p := range paths {
		paths[i] = fmt.Sprintf(`{"id":"%d","method":"GET","path":%q}`, i, p)
	}
	body := `{"requests":[` + strings.Join(paths, ",") + `]}`
	return fmt.Sprintf("POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestAReadEndsWhenItsCallerLeaves(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for name, request := range map[string]string{"alone": "GET /v1/read HTTP/1.1\r\nHost: localhost\r\n\r\n", "in a batch": rawBatch("/v1/read")} {
			l := newLeaving(t, network)
			c := l.open(request)
			<-l.came
			_ = c.Close()
			if err := <-l.ended; !errors.Is(err, errCallerLeft) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %s: it ended with %v", network, name, err)
			}
		}
	}
}

func TestAWriteGoesOnWhenItsCallerLeaves(t *testing.T) {
	l := newLeaving(t, "tcp")
	c := l.open(rawBatch("/v1/read", "/v1/write"))
	<-l.came
	<-l.came
	_ = c.Close()
	if err := <-l.ended; !errors.Is(err, errCallerLeft) {
		t.Errorf("the read ended with %v", err)
	}
	l.release <- struct{}{} // nothing but the write is there to take it
	if err := <-l.ended; err != nil {
		t.Errorf("the write ended with %v", err)
	}
}

// Requests that come over a connection whose call waits are answered in their turn.
func TestACallerThatSendsMoreHasNotLeft(t *testing.T) {
	l := newLeaving(t, "tcp")
	c := l.open(l.get("/v1/read"))
	for range 3 {
		<-l.came
		if _, err := io.WriteString(c, l.get("/v1/read")); err != nil {
			t.Fatal(err)
		}
		l.release <- struct{}{}
		if err := <-l.ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	}
	<-l.came
	_ = c.Close()
	if err := <-l.ended; !errors.Is(err, errCallerLeft) {
		t.Errorf("the last one ended with %v", err)
	}
}

func TestWhenAllCallersLeaveTheRequestToTheUpstreamEnds(t *testing.T) {
	u := newUpstreams().withClasses("text", "text")
	u.policy.NoBreaker = true // it would end the calls too
	u.timeout = time.Hour
	a := newAPI(t, u, nil)
	a.want(http.StatusOK, http.MethodGet, "/v1/chats/known/mute", "")
	came, left := make(chan struct{}, 10), make(chan struct{}, 10)
	a.weaviate.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		came <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
		return true
	})
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/v1/chats/a/mute", nil)
			req.Header.Set("Cache-Control", "no-store")
			req.Header.Set(wire.HeaderTimeout, "900000")
			_, err := http.DefaultClient.Do(req)
			ended <- err
		}()
	}
	<-came
	leave()
	<-left
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}
