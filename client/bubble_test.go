package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener without a network, so that time in a synctest bubble goes on while a call waits.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
	dials  atomic.Int64
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialed:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Net: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.dialed <- there:
		p.dials.Add(1)
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs a test in a synctest bubble, with a client whose calls the handler answers.
func inBubble(t *testing.T, cfg Config, handler http.HandlerFunc, test func(t *testing.T, c *Client, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{dialed: make(chan net.Conn), closed: make(chan struct{})}
		s := &http.Server{Handler: handler, ReadHeaderTimeout: 24 * time.Hour}
		served := make(chan error, 1)
		go func() { served <- s.Serve(p) }()
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.http.DialContext = p.dial
		test(t, c, p)
		c.Close()
		_ = s.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

func TestPreprocessLeavesTheSidecarTheTimeToAnswer(t *testing.T) {
	for _, tc := range []struct {
		name              string
		timeout, deadline time.Duration // 0: none
		asked, want       int           // timeout_ms
	}{
		{"no deadline", 0, 0, 0, 30_000},
		{"a far deadline", 0, time.Hour, 0, 30_000},
		{"a near deadline", 0, 10 * time.Second, 0, 30_000}, // the header tells it
		{"a short timeout of the client's", time.Second, 0, 0, 900},
		{"a timeout longer than the API allows", 2 * time.Hour, 0, 0, 900_000},
		{"the caller's own", 0, time.Hour, 1234, 1234},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var sent PreprocessRequest
			answer := func(w http.ResponseWriter, r *http.Request) {
				if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(w, "{}")
			}
			inBubble(t, Config{Timeout: tc.timeout}, answer, func(t *testing.T, c *Client, _ *pipes) {
				ctx := t.Context()
				if tc.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.deadline)
					defer cancel()
				}
				if _, err := c.Preprocess(ctx, PreprocessRequest{ChatID: "a", TimeoutMS: tc.asked}); err != nil {
					t.Fatal(err)
				}
				if sent.TimeoutMS != tc.want {
					t.Errorf("timeout_ms %d, want %d", sent.TimeoutMS, tc.want)
				}
			})
		})
	}
}

func TestTheSidecarIsToldWhatTheInvocationHasLeft(t *testing.T) {
	preprocess := func(ctx context.Context, c *Client) error {
		_, err := c.Preprocess(ctx, PreprocessRequest{ChatID: "a"})
		return err
	}
	for _, tc := range []struct {
		name              string
		timeout, deadline time.Duration // 0: none
		call              func(context.Context, *Client) error
		want              string
	}{
		{"no deadline", 0, 0, mute, ""},
		{"a deadline", 0, 3 * time.Second, mute, "3000"},
		{"a deadline of a write", 0, 3 * time.Second, func(ctx context.Context, c *Client) error { return c.SetMute(ctx, "a", Mute{}) }, "3000"},
		{"a deadline of a preprocess", 0, 3 * time.Second, preprocess, "3000"},
		{"a deadline later than the client's timeout", 0, time.Minute, mute, "60000"},
		{"the longest of a function", 0, 15 * time.Minute, mute, "900000"},
		{"one that is not to be trusted", 0, 15*time.Minute + time.Millisecond, mute, ""},
		{"less than a millisecond", 0, 500 * time.Microsecond, mute, "1"},
		{"a short timeout of the client's", time.Second, 0, mute, "1000"},
		{"a short timeout and an earlier deadline", 2 * time.Second, time.Second, mute, "1000"},
		{"a short timeout and a later deadline", time.Second, time.Minute, mute, "1000"},
		{"a short timeout, and a preprocess that has timeout_ms", time.Second, 0, preprocess, ""},
		{"the caller's own header", 0, time.Second, func(ctx context.Context, c *Client) error {
			_, err := c.Mute(ctx, "a", WithHeader(HeaderTimeout, "7"))
			return err
		}, "7"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			answer := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != PathHealth { // the client's greeting
					got = r.Header.Values(HeaderTimeout)
				}
				_, _ = io.WriteString(w, "{}")
			}
			inBubble(t, Config{Timeout: tc.timeout}, answer, func(t *testing.T, c *Client, _ *pipes) {
				ctx := t.Context()
				if tc.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.deadline)
					defer cancel()
				}
				if err := tc.call(ctx, c); err != nil {
					t.Fatal(err)
				}
				if strings.Join(got, " and ") != tc.want {
					t.Errorf("it is told %q, want %q", got, tc.want)
				}
			})
		})
	}
}

func TestACallEndsAMomentBeforeItsInvocation(t *testing.T) {
	for left, want := range map[time.Duration]time.Duration{3 * time.Second: 2900 * time.Millisecond, time.Second: 950 * time.Millisecond} {
		inBubble(t, Config{}, silence, func(t *testing.T, c *Client, _ *pipes) {
			ctx, cancel := context.WithTimeout(t.Context(), left)
			defer cancel()
			begin := time.Now()
			err := mute(ctx, c)
			if took := time.Since(begin); took != want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with %v left it ended after %v: %v", left, took, err)
			}
		})
	}
}

// silence answers nothing for as long as the caller waits.
func silence(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func TestACallWithoutAnAnswerEndsWhenItsTimeIsOver(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  Config
		call func(context.Context, *Client) error
		want time.Duration
	}{
		{"by default", Config{}, mute, 31 * time.Second},
		{"the client's timeout", Config{Timeout: 50 * time.Millisecond}, mute, 50 * time.Millisecond},
		{"a preprocess that says how long", Config{}, func(ctx context.Context, c *Client) error {
			_, err := c.Preprocess(ctx, PreprocessRequest{ChatID: "a", TimeoutMS: 2000})
			return err
		}, 3 * time.Second},
		{"a preprocess that may take longer than other calls", Config{}, func(ctx context.Context, c *Client) error {
			_, err := c.Preprocess(ctx, PreprocessRequest{ChatID: "a", TimeoutMS: 60_000})
			return err
		}, 61 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, tc.cfg, silence, func(t *testing.T, c *Client, _ *pipes) {
				begin := time.Now()
				err := tc.call(t.Context(), c)
				if took := time.Since(begin); took != tc.want {
					t.Errorf("it ended after %v, want %v", took, tc.want)
				}
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within "+tc.want.String()) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

func mute(ctx context.Context, c *Client) error {
	_, err := c.Mute(ctx, "a")
	return err
}

func TestAnIdleConnectionIsKeptForFiveMinutes(t *testing.T) {
	inBubble(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") },
		func(t *testing.T, c *Client, p *pipes) {
			for i, tc := range []struct {
				pause time.Duration
				dials int64
			}{{0, 1}, {299 * time.Second, 1}, {299 * time.Second, 1}, {301 * time.Second, 2}} {
				time.Sleep(tc.pause)
				if err := mute(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if n := p.dials.Load(); n != tc.dials {
					t.Errorf("call %d: %d connections were opened, want %d", i, n, tc.dials)
				}
			}
		})
}

func TestTheCauseOfAContextsEndIsTold(t *testing.T) {
	inBubble(t, Config{}, silence, func(t *testing.T, c *Client, _ *pipes) {
		answered := errors.New("the bot has answered already")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(answered) })
		if err := mute(ctx, c); !errors.Is(err, answered) {
			t.Errorf("%v", err)
		}
	})
}
