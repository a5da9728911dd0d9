package pool

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/internal/testing/await"
	"hearth/internal/testing/testnet"
)

func TestAnErrorSaysWhetherTheRequestMayHaveArrived(t *testing.T) {
	t.Parallel() // it waits
	post := Request{Method: http.MethodPost, Path: "/", Body: []byte("x")}
	block := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server see its client leave
		<-r.Context().Done()
	}
	short := func(c *Config) { c.Timeout = time.Second }
	for _, tc := range []struct {
		name   string
		h      http.HandlerFunc
		change func(*Config)
		sent   bool
		want   error // nil: any
	}{
		{"no answer in time", block, short, true, context.DeadlineExceeded},
		{"a connection cut before the answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, true, nil},
		{"an answer cut short", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half of it")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, nil, true, nil},
		{
			"an answer too large", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "0123456789") },
			func(c *Config) { c.Answers = NewAnswers(9, 9) }, true, ErrTooLarge,
		},
	} {
		for _, net := range []testnet.Config{{}, {TLS: true, HTTP2: true}} {
			t.Run(tc.name, func(t *testing.T) {
				p := start(t, net, tc.h, tc.change)
				err := p.fails(t.Context(), post)
				if err.Sent != tc.sent || tc.want != nil && !errors.Is(err, tc.want) {
					t.Errorf("got %v, sent %v; want %v, sent %v", err, err.Sent, tc.want, tc.sent)
				}
				if text := err.Error(); !strings.HasPrefix(text, "upstream: ") || strings.Contains(text, p.server.Addr+"/") {
					t.Errorf("the error reads %q", text)
				}
				await.That(t, "its slot is free", func() bool { return p.pool.Stats().InUse == 0 })
			})
		}
	}
	t.Run("a call that ends before it began", func(t *testing.T) {
		p := start(t, testnet.Config{}, block, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.fails(ctx, post); err.Sent || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, sent %v", err, err.Sent)
		}
	})
	t.Run("a method that is none", func(t *testing.T) {
		p := start(t, testnet.Config{}, block, nil)
		if err := p.fails(t.Context(), Request{Method: "GE T", Path: "/"}); err.Sent {
			t.Errorf("got %v, sent", err)
		}
	})
}

// With its one slot taken, calls wait, are refused, and give up without having sent anything.
func TestCallsThatGetNoSlotWereNotSent(t *testing.T) {
	arrived := make(chan struct{}, 1)
	p := start(t, testnet.Config{}, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}, func(c *Config) { c.Size, c.Queue, c.Timeout = 1, 1, time.Minute })
	get := Request{Method: http.MethodGet, Path: "/"}
	first, cancelFirst := context.WithCancel(t.Context())
	second, cancelSecond := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { _, err := p.pool.Do(first, get); ended <- err }()
	<-arrived
	if err := p.pool.Refuse(t.Context()); err != nil {
		t.Errorf("before the queue is full: %v", err)
	}
	go func() { _, err := p.pool.Do(second, get); ended <- err }()
	await.That(t, "the second call waits", func() bool { return p.pool.Stats().Queue == 1 })

	if err := p.fails(t.Context(), get); err.Sent || !errors.Is(err, ErrQueueFull) {
		t.Errorf("with a full queue: %v, sent %v", err, err.Sent)
	}
	if err, ok := errors.AsType[*Error](p.pool.Refuse(t.Context())); !ok || err.Sent || !errors.Is(err, ErrQueueFull) || err.Upstream != p.pool.Name() {
		t.Errorf("a call would be refused with %v", err)
	}
	for _, c := range []struct {
		cancel context.CancelFunc
		sent   bool
	}{{cancelSecond, false}, {cancelFirst, true}} {
		c.cancel()
		err := <-ended
		if e, ok := errors.AsType[*Error](err); !ok || e.Sent != c.sent || !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled call ended with %+v, want sent %v", err, c.sent)
		}
	}
	p.wantStats(Stats{Requests: 1, Waits: 1, Rejected: 2}, func(s Stats) Stats {
		return Stats{Requests: s.Requests, Waits: s.Waits, Rejected: s.Rejected, InUse: s.InUse, Queue: s.Queue}
	})
	p.pool.Close()
	if err := p.fails(t.Context(), get); err.Sent || !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, sent %v", err, err.Sent)
	}
}

func TestAnAnswerMayBeAsLongAsTheBound(t *testing.T) {
	p := start(t, testnet.Config{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 1000))
		if r.URL.Path == "/more" {
			w.(http.Flusher).Flush() // of unknown length, so that only reading tells
			_, _ = io.WriteString(w, "x")
		}
	}, func(c *Config) { c.Answers = NewAnswers(1000, 1000) })
	if n := len(p.get("/")); n != 1000 {
		t.Errorf("%d bytes came", n)
	}
	if err := p.fails(t.Context(), Request{Method: http.MethodGet, Path: "/more"}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.server.URL+"/more", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := p.pool.Client().Do(req); !errors.Is(err, ErrTooLarge) {
		t.Errorf("through the client: %v, %v", resp, err)
	}
	if s := p.pool.Stats(); s.Retries != 0 || s.Replays != 0 {
		t.Errorf("it is asked for again: %+v", s)
	}
}

func TestHeadersPassThroughToEveryTry(t *testing.T) {
	var seen []string
	p := start(t, testnet.Config{}, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Traceparent")+" "+r.Header.Get("Own"))
		if len(seen) == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}, nil)
	own := http.Header{"Own": {"mine"}}
	ctx := With(t.Context(), Options{Header: http.Header{"Traceparent": {"00-abc-def-01"}}})
	if resp, err := p.pool.Do(ctx, Request{Method: http.MethodGet, Path: "/", Header: own}); err != nil || resp.Status != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	p.want(http.StatusOK, Request{Method: http.MethodGet, Path: "/", Header: own})
	want := []string{"00-abc-def-01 mine", "00-abc-def-01 mine", " mine"}
	if strings.Join(seen, ",") != strings.Join(want, ",") {
		t.Errorf("the server saw %q, want %q", seen, want)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = own
	resp, err := p.pool.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if len(own) != 1 {
		t.Errorf("the caller's headers have become %v", own)
	}
}

func TestPathsGoOutAsTheyAre(t *testing.T) {
	var got string
	p := start(t, testnet.Config{}, func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI },
		func(c *Config) { c.URL += "/prefix/" })
	for _, path := range []string{"/", "/a%2Fb?x=%20&y", "/..%2F/%25"} {
		p.get(path)
		if got != "/prefix"+path {
			t.Errorf("%s went out as %s", path, got)
		}
	}
}
