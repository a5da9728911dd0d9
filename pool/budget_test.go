package pool

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"hearth/pool/conn"
)

func TestBackoffObeysRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		for after, want := range map[string]time.Duration{
			"0": 0, "1": time.Second, "10": 10 * time.Second, "86400": day, "86401": day, "9223372036854775807": day, "99999999999999999999": day,
			time.Now().UTC().Add(7 * time.Second).Format(http.TimeFormat): 7 * time.Second,
			time.Now().UTC().Add(-time.Hour).Format(http.TimeFormat):      0,
			time.Now().UTC().Add(1000 * day).Format(http.TimeFormat):      day,
		} {
			for name, resp := range map[string]*http.Response{
				"header": {Header: http.Header{"Retry-After": {after}}}, "trailer": {Trailer: http.Header{"Retry-After": {after}}},
			} {
				if got := backoff(time.Millisecond, time.Second, 0, resp); got != want {
					t.Errorf("Retry-After %s as a %s waits %v, want %v", after, name, got, want)
				}
			}
		}
	})
}

// Whoever calls is told how long to wait, and learns it at once.
func TestACallIsNotTriedAgainAfterItsDeadline(t *testing.T) {
	for after, tries := range map[string]int64{"0": 3, "1": 2, "2": 1, "3600": 1} {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1", Timeout: time.Minute})
			p.chain = newRetry(&script{answers: []func() (*http.Response, error){answer(http.StatusServiceUnavailable, after, "")}}, p.cfg, &p.stats)
			ctx, cancel := context.WithTimeout(t.Context(), 1900*time.Millisecond)
			defer cancel()
			begun := time.Now()
			resp, err := p.Do(ctx, Request{Method: http.MethodGet, Path: "/"})
			wait, _ := strconv.Atoi(after)
			if err != nil || resp.Status != http.StatusServiceUnavailable || resp.RetryAfter != time.Duration(wait)*time.Second {
				t.Errorf("Retry-After %s: %+v, %v", after, resp, err)
			}
			if took := time.Since(begun); took != time.Duration(tries-1)*resp.RetryAfter || p.Stats().Retries != tries-1 {
				t.Errorf("Retry-After %s: ended after %v and %d retries", after, took, p.Stats().Retries)
			}
		})
	}
}

// A load that requests share may have more time than its caller.
func TestACallDoesNotWaitLongerThanItsCaller(t *testing.T) {
	for after, tries := range map[string]int64{"1": 2, "2": 1} {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1", Timeout: time.Minute})
			p.chain = newRetry(&script{answers: []func() (*http.Response, error){answer(http.StatusTooManyRequests, after, "")}}, p.cfg, &p.stats)
			ctx := With(t.Context(), Options{Until: time.Now().Add(1900 * time.Millisecond)})
			begun := time.Now()
			resp, err := p.Do(ctx, Request{Method: http.MethodGet, Path: "/"})
			if err != nil || resp.Status != http.StatusTooManyRequests || resp.RetryAfter == 0 {
				t.Errorf("Retry-After %s: %+v, %v", after, resp, err)
			}
			if took := time.Since(begun); took != time.Duration(tries-1)*time.Second || p.Stats().Retries != tries-1 {
				t.Errorf("Retry-After %s: ended after %v and %d retries", after, took, p.Stats().Retries)
			}
		})
	}
}

func TestAnOutageIsNotMultiplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, unbounded := range []bool{false, true} {
			s := &script{answers: []func() (*http.Response, error){answer(http.StatusServiceUnavailable, "0", "")}}
			p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1", Policy: Policy{NoRetryBudget: unbounded}})
			p.chain = newRetry(s, p.cfg, &p.stats)
			call := func(times int) (sent int) {
				before := len(s.bodies)
				for range times {
					if _, err := p.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"}); err != nil {
						t.Error(err)
					}
				}
				return len(s.bodies) - before
			}
			first := call(200)
			time.Sleep(time.Minute)
			second := call(10)
			if unbounded {
				if first != 600 || second != 30 {
					t.Errorf("without a budget %d and %d were sent", first, second)
				}
				continue
			}
			if first < 225 || first > 230 || second < 20 || second > 22 || p.Stats().RetriesRefused == 0 {
				t.Errorf("%d of 200 and %d of 10 were sent, %d retries refused", first, second, p.Stats().RetriesRefused)
			}
		}
	})
}

// An upstream that is restarted has not read what it refuses. Nothing is multiplied by sending that again.
func TestWhatWasCertainlyNotSentIsTriedAgainOnceWithoutABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []func() (*http.Response, error){failure(&conn.UnsentError{Err: errors.New("refused")})}}
		p := newPool(t, Config{Name: "upstream", URL: "http://127.0.0.1:1"})
		p.chain = newRetry(s, p.cfg, &p.stats)
		for p.cfg.Budget.take() { // others use it up
		}
		for n := range 5 {
			before := len(s.bodies)
			_, err := p.Do(t.Context(), Request{Method: http.MethodPost, Path: "/"})
			if e, ok := errors.AsType[*Error](err); !ok || e.Sent {
				t.Errorf("%+v", err)
			}
			if got := len(s.bodies) - before; got != 2 {
				t.Errorf("call %d was tried %d times, want 2", n, got)
			}
		}
		if s := p.Stats(); s.Retries != 5 || s.RetriesRefused != 5 {
			t.Errorf("%+v", s)
		}
	})
}
