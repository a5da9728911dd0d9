package pool

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/clock"
	"hearth/internal/guard"
	"hearth/internal/testing/testnet"
	"hearth/pool/conn"
)

func TestCheckRetry(t *testing.T) {
	dial := fmt.Errorf("wrapped: %w", &conn.UnsentError{Err: errors.New("refused")})
	cut := &net.OpError{Op: "read", Err: errors.New("reset")}
	certificate := fmt.Errorf("wrapped: %w", &tls.CertificateVerificationError{Err: errors.New("unknown authority")})
	for _, tc := range []struct {
		name       string
		status     int
		err        error
		repeatable bool // with Repeatable
		once       bool // without
	}{
		{"200", http.StatusOK, nil, false, false},
		{"302", http.StatusFound, nil, false, false},
		{"400", http.StatusBadRequest, nil, false, false},
		{"401", http.StatusUnauthorized, nil, false, false},
		{"404", http.StatusNotFound, nil, false, false},
		{"408", http.StatusRequestTimeout, nil, false, false},
		{"422", http.StatusUnprocessableEntity, nil, false, false},
		{"429", http.StatusTooManyRequests, nil, true, false},
		{"500", http.StatusInternalServerError, nil, false, false},
		{"502", http.StatusBadGateway, nil, true, false},
		{"503", http.StatusServiceUnavailable, nil, true, false},
		{"504", http.StatusGatewayTimeout, nil, true, false},
		{"no connection", 0, dial, true, true},
		{"a cut connection", 0, cut, true, false},
		{"an end too soon", 0, io.ErrUnexpectedEOF, true, false},
		{"a bad certificate", 0, certificate, false, false},
		{"a full queue", 0, ErrQueueFull, false, false},
		{"too large an answer", 0, &TooLargeError{}, false, false},
		{"an answer longer than it says", 0, errLonger, false, false},
		{"a redirect", 0, &RedirectError{}, false, false},
		{"a panic", 0, guard.Do(func() error { panic("on purpose") }), false, false},
	} {
		var resp *http.Response
		if tc.err == nil {
			resp = &http.Response{StatusCode: tc.status}
		}
		if again, err := checkRetry(With(t.Context(), Options{Repeatable: true}), resp, tc.err); again != tc.repeatable || err != nil {
			t.Errorf("%s, repeatable: %v, %v", tc.name, again, err)
		}
		if again, err := checkRetry(t.Context(), resp, tc.err); again != tc.once || err != nil {
			t.Errorf("%s: %v, %v", tc.name, again, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if again, err := checkRetry(With(ended, Options{Repeatable: true}), resp, tc.err); again || !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v, %v", tc.name, again, err)
		}
	}
}

func TestAnAnswerOfGRPCSaysWhetherItMayWorkLater(t *testing.T) {
	for code, later := range map[string]bool{"0": false, "2": false, "5": false, "14": true} {
		for name, resp := range map[string]*http.Response{
			"trailers": {StatusCode: http.StatusOK, Trailer: http.Header{"Grpc-Status": {code}}},
			"headers":  {StatusCode: http.StatusOK, Header: http.Header{"Grpc-Status": {code}}},
		} {
			if again, err := checkRetry(With(t.Context(), Options{Repeatable: true}), resp, nil); again != later || err != nil {
				t.Errorf("status %s in the %s: %v, %v", code, name, again, err)
			}
			if again, err := checkRetry(t.Context(), resp, nil); again || err != nil {
				t.Errorf("status %s in the %s of what may not be repeated: %v, %v", code, name, again, err)
			}
		}
	}
}

func FuzzBackoff(f *testing.F) {
	for _, after := range []string{"", "0", "-1", "3", "1.5", "99999999999999999999", "Wed, 21 Oct 2015 07:28:00 GMT"} {
		f.Add(after, uint8(0))
		f.Add(after, uint8(31))
	}
	f.Fuzz(func(t *testing.T, after string, attempt uint8) {
		const least, most = 20 * time.Millisecond, 500 * time.Millisecond
		resp := &http.Response{Header: http.Header{"Retry-After": {after}}}
		attempt %= 32
		got := backoff(least, most, int(attempt), resp)
		low, high := min(least<<attempt, most)/2, most
		if _, asks := retryAfter(resp); asks {
			low, high = 0, 24*time.Hour
		}
		if got < low || got > high {
			t.Errorf("attempt %d, Retry-After %q: waits %v, want %v to %v", attempt, after, got, low, high)
		}
	})
}

// script is an upstream without a wire: its answers one after another. The last one stands for all that follow.
type script struct {
	answers []func() (*http.Response, error)
	bodies  []string // sent so far
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	var b bytes.Buffer
	if r.Body != nil {
		if _, err := b.ReadFrom(r.Body); err != nil {
			return nil, err
		}
	}
	s.bodies = append(s.bodies, b.String())
	return s.answers[min(len(s.bodies), len(s.answers))-1]()
}

func answer(status int, after, text string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		h := http.Header{}
		if after != "" {
			h.Set("Retry-After", after)
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(text))}, nil
	}
}

func failure(err error) func() (*http.Response, error) {
	return func() (*http.Response, error) { return nil, err }
}

func TestTheWholeBodyGoesOutWithEveryTry(t *testing.T) {
	whole := strings.Repeat("0123456789", 20_000)
	dead := failure(&net.OpError{Op: "read", Err: errors.New("reset")})
	busy := answer(http.StatusServiceUnavailable, "", "busy")
	ok := answer(http.StatusOK, "", "done")
	undialled := failure(&conn.UnsentError{Err: errors.New("refused")})
	for _, tc := range []struct {
		name       string
		script     []func() (*http.Response, error)
		repeatable bool
		tries      int
		want       string // the answer; empty: an error
	}{
		{"a repeatable one after a busy answer", []func() (*http.Response, error){busy, ok}, true, 2, "done"},
		{"a repeatable one after a cut connection", []func() (*http.Response, error){dead, dead, ok}, true, 3, "done"},
		{"a repeatable one, in vain", []func() (*http.Response, error){dead}, true, 3, ""},
		{"another after a busy answer", []func() (*http.Response, error){busy, ok}, false, 1, "busy"},
		{"another after a cut connection", []func() (*http.Response, error){dead, ok}, false, 1, ""},
		{"another without a connection", []func() (*http.Response, error){undialled, undialled, ok}, false, 3, "done"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: tc.script}
				p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1"})
				p.chain = newRetry(s, p.cfg, &p.stats)
				resp, err := p.Do(t.Context(), Request{Method: http.MethodPost, Path: "/", Body: []byte(whole), Repeatable: tc.repeatable})
				if (err == nil) != (tc.want != "") || err == nil && string(resp.Body) != tc.want {
					t.Errorf("got %v, %v, want %q", resp, err, tc.want)
				}
				if len(s.bodies) != tc.tries {
					t.Errorf("%d tries, want %d", len(s.bodies), tc.tries)
				}
				for i, b := range s.bodies {
					if b != whole {
						t.Errorf("try %d sent %d of %d bytes", i+1, len(b), len(whole))
					}
				}
				if got := p.Stats().Retries; got != int64(tc.tries-1) {
					t.Errorf("%d retries are counted", got)
				}
			})
		})
	}
}

func TestRetriesWaitButNotForLong(t *testing.T) {
	for name, tc := range map[string]struct {
		after       string
		least, most time.Duration
	}{
		"as long as the upstream says":  {"0", 0, 0},
		"however long that is":          {"2", 4 * time.Second, 4 * time.Second},
		"longer each time, with jitter": {"", 3 * retryWaitMin / 2, 3 * retryWaitMin},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1"})
				p.chain = newRetry(&script{answers: []func() (*http.Response, error){
					answer(http.StatusTooManyRequests, tc.after, "first"), answer(http.StatusBadGateway, tc.after, "second"),
					answer(http.StatusServiceUnavailable, tc.after, "the last word"),
				}}, p.cfg, &p.stats)
				begun := time.Now()
				resp, err := p.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"})
				if took := time.Since(begun); took < tc.least || took > tc.most {
					t.Errorf("took %v, want %v to %v", took, tc.least, tc.most)
				}
				if err != nil || resp.Status != http.StatusServiceUnavailable || string(resp.Body) != "the last word" {
					t.Errorf("got %v, %v, want the last answer as it came", resp, err)
				}
			})
		})
	}
}

func TestARefusedConnectionIsTriedAgainWhateverTheCall(t *testing.T) {
	p := start(t, testnet.Config{}, func(http.ResponseWriter, *http.Request) {}, nil)
	if err := p.server.Close(); err != nil {
		t.Fatal(err)
	}
	err := p.fails(t.Context(), Request{Method: http.MethodPost, Path: "/", Body: []byte("x")})
	if err.Sent {
		t.Error("nothing was sent, but the error says so")
	}
	p.wantStats(Stats{Retries: 2, Dials: 3, DialErrors: 3}, func(s Stats) Stats {
		return Stats{Requests: s.Requests, Retries: s.Retries, Failures: s.Failures, Dials: s.Dials, DialErrors: s.DialErrors, Open: s.Open, InUse: s.InUse}
	})
}

func TestABadCertificateIsNotTriedAgain(t *testing.T) {
	p := start(t, testnet.Config{TLS: true}, func(http.ResponseWriter, *http.Request) {
		t.Error("a request reached a server that nobody vouches for")
	}, func(c *Config) { c.RootCAs = nil })
	if err := p.fails(t.Context(), Request{Method: http.MethodGet, Path: "/"}); err.Sent || !permanent(err) {
		t.Errorf("got %+v", err)
	}
	p.wantStats(Stats{Dials: 1}, func(s Stats) Stats {
		return Stats{Requests: s.Requests, Retries: s.Retries, Dials: s.Dials, Handshakes: s.Handshakes}
	})
}

func TestABadCertificateOpensTheBreaker(t *testing.T) {
	p := start(t, testnet.Config{TLS: true}, nil, func(c *Config) { c.RootCAs = nil })
	for range tooManyFailed {
		_ = p.fails(t.Context(), Request{Method: http.MethodGet, Path: "/"})
	}
	if err := p.fails(t.Context(), Request{Method: http.MethodGet, Path: "/"}); !errors.Is(err, ErrOpen) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

// A server may close a connection while it is idle. To its client that looks the same as one closed on the
// arrival of a request, and can be told from it by nothing.
func TestADeadIdleConnection(t *testing.T) {
	for _, tc := range []struct {
		name      string
		request   Request
		arrivals  int64
		wantError bool
	}{
		{"is replaced for a GET", Request{Method: http.MethodGet, Path: "/"}, 3, false},
		{"is replaced for a repeatable POST", Request{Method: http.MethodPost, Path: "/", Body: []byte("body"), Repeatable: true}, 3, false},
		{"fails any other POST", Request{Method: http.MethodPost, Path: "/", Body: []byte("body")}, 2, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var arrivals atomic.Int64
			p := start(t, testnet.Config{}, func(w http.ResponseWriter, r *http.Request) {
				if _, ok := r.Header["X-Idempotency-Key"]; ok {
					t.Error("the mark for net/http was sent")
				}
				body, err := io.ReadAll(r.Body)
				if n := arrivals.Add(1); n > 1 && (err != nil || string(body) != string(tc.request.Body)) {
					t.Errorf("arrival %d has body %q, %v", n, body, err)
				} else if n == 2 {
					panic(http.ErrAbortHandler)
				}
			}, func(c *Config) { c.Retries = -1 }) // so that what replays is the transport
			p.get("/")
			if tc.wantError {
				if err := p.fails(t.Context(), tc.request); !err.Sent {
					t.Error("the request was sent, but the error says that it was not")
				}
			} else {
				p.want(http.StatusOK, tc.request)
			}
			if n := arrivals.Load(); n != tc.arrivals {
				t.Errorf("%d requests arrived, want %d", n, tc.arrivals)
			}
		})
	}
}

// slow is an upstream without a wire that answers after a while.
type slow time.Duration

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(time.Duration(s)):
		return answer(http.StatusOK, "", "late")()
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
}

// Without Run every silence of a gap is a freeze, so here the whole time is frozen.
func TestAFreezeLongerThanTheTimeoutEndsNoCall(t *testing.T) {
	for frozen, want := range map[bool]error{true: nil, false: context.DeadlineExceeded} {
		synctest.Test(t, func(t *testing.T) {
			cfg := Config{Name: "upstream", URL: "http://127.0.0.1:1", Timeout: 5 * time.Second}
			if frozen {
				cfg.Pulse = clock.NewPulse(nil)
			}
			p := newPool(t, cfg)
			p.chain = newRetry(slow(7*time.Second), p.cfg, &p.stats)
			if _, err := p.Do(t.Context(), Request{Method: http.MethodPost, Path: "/"}); !errors.Is(err, want) {
				t.Errorf("frozen %v: %v", frozen, err)
			}
		})
	}
}

// tracked is a body that says when it is closed.
type tracked struct {
	io.Reader
	closed *atomic.Bool
}

func (b tracked) Close() error {
	b.closed.Store(true)
	return nil
}

func TestAnAnswerThatComesAsItsCallerLeavesIsClosed(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	var closed atomic.Bool
	p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1"})
	p.chain = newRetry(roundTripperFunc(func(*http.Request) (*http.Response, error) {
		leave()
		return &http.Response{StatusCode: http.StatusOK, Body: tracked{strings.NewReader("late"), &closed}}, nil
	}), p.cfg, &p.stats)
	if _, err := p.Do(ctx, Request{Method: http.MethodGet, Path: "/"}); !errors.Is(err, context.Canceled) || !closed.Load() {
		t.Errorf("got %v, closed: %v", err, closed.Load())
	}
}

func TestAHeadIsRepeatable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1"})
		for method, want := range map[string]int{http.MethodGet: 3, http.MethodHead: 3, http.MethodPost: 1, http.MethodDelete: 1} {
			s := &script{answers: []func() (*http.Response, error){failure(errBroken)}}
			p.chain = newRetry(s, p.cfg, &p.stats)
			if _, err := p.Do(t.Context(), Request{Method: method, Path: "/"}); err == nil || len(s.bodies) != want {
				t.Errorf("%s: %d tries, %v", method, len(s.bodies), err)
			}
		}
	})
}

// So that those who failed together do not come back together.
func TestBackoffIsSpread(t *testing.T) {
	const least, most = 100 * time.Millisecond, time.Second
	for attempt, d := range []time.Duration{least, 2 * least, 4 * least, 8 * least, most} {
		low, high := most, time.Duration(0)
		for range 300 {
			got := backoff(least, most, attempt, nil)
			low, high = min(low, got), max(high, got)
		}
		if low < d/2 || low > 6*d/10 || high < 9*d/10 || high > d {
			t.Errorf("attempt %d waits %v to %v, want about %v to %v", attempt, low, high, d/2, d)
		}
	}
}
