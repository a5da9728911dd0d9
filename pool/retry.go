package pool

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"math/big"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"hearth/internal/guard"
	"hearth/pool/conn"
)

const (
	retryWaitMin = 20 * time.Millisecond
	retryWaitMax = 500 * time.Millisecond
)

// roundTripperFunc is a function that is a link.
type roundTripperFunc func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f roundTripperFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// newRetry makes the link that sends a request to the next link again, after a while, if that is safe and may help. The
// library's defaults would retry any POST, log each failure to stderr and throw the last answer away.
func newRetry(next http.RoundTripper, cfg Config, stats *counters) http.RoundTripper {
	return roundTripperFunc(func(req *http.Request) (*http.Response, error) {
		cfg.Budget.call()
		r := &retries{next: next, cfg: cfg, stats: stats}
		client := &retryablehttp.Client{
			HTTPClient: &http.Client{
				Transport:     r,
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			},
			RetryMax:     cfg.Retries,
			CheckRetry:   r.check,
			Backoff:      func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return r.wait },
			ErrorHandler: retryablehttp.PassthroughErrorHandler,
		}
		resp, err := (&retryablehttp.RoundTripper{Client: client}).RoundTrip(req)
		if err != nil && resp != nil { // the library also returns the answer of the try before the error
			_ = resp.Body.Close()
			resp = nil
		}
		if r.failed != nil && errors.Is(err, ErrOpen) { // the failure of the try before says more
			err = r.failed
		}
		return resp, err
	})
}

// retries are the tries of one request, one after another.
type retries struct {
	next   http.RoundTripper
	cfg    Config
	stats  *counters
	tries  int           // so far
	wait   time.Duration // before the next try
	failed error         // of the last try; nil if that try has brought an answer
}

// RoundTrip sends one try to the next link.
func (r *retries) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.tries > 0 {
		r.stats.retries.Add(1)
		r.cfg.Logger.Debug("retrying", "upstream", r.cfg.Name, "method", req.Method, "attempt", r.tries)
		req = req.WithContext(With(req.Context(), Options{retry: true}))
	}
	r.tries++
	return r.next.RoundTrip(req)
}

// check says whether there is another try. It sets the wait before that try, and takes the try from the budget.
func (r *retries) check(ctx context.Context, resp *http.Response, err error) (bool, error) {
	again, reason := checkRetry(ctx, resp, err)
	if !again || r.tries > r.cfg.Retries {
		return false, reason
	}
	r.wait = backoff(retryWaitMin, retryWaitMax, r.tries-1, resp)
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= r.wait {
		return false, nil
	}
	if end := optionsOf(ctx).Until; !end.IsZero() && r.wait > retryWaitMax && time.Until(end) <= r.wait {
		return false, nil // the answer asks for more time than its caller has: the caller learns that now
	}
	_, unsent := errors.AsType[*conn.UnsentError](err)
	free := unsent && r.tries == 1 // the upstream had no work with the first try; from then on each dial is work
	if !free && !r.cfg.Policy.NoRetryBudget && !r.cfg.Budget.take() {
		r.stats.retriesRefused.Add(1)
		return false, nil
	}
	r.failed = unwrapURLError(err)
	return true, nil
}

// checkRetry retries a request that is repeatable, and any request that was certainly not sent.
func checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if optionsOf(ctx).probe != nil {
		return false, nil
	}
	if err != nil {
		_, unsent := errors.AsType[*conn.UnsentError](err)
		return (unsent || optionsOf(ctx).Repeatable) && !permanent(err), nil
	}
	switch code := grpcStatus(resp); {
	case code == grpcUnavailable, code == grpcResourceExhausted && !messageTooLarge(resp):
		return optionsOf(ctx).Repeatable, nil
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return optionsOf(ctx).Repeatable, nil
	}
	return false, nil
}

// distrusted says that the upstream's certificate is not trusted.
func distrusted(err error) bool {
	_, is := errors.AsType[*tls.CertificateVerificationError](err)
	return is
}

// permanent says that a failure will be the same next time.
func permanent(err error) bool {
	_, redirected := errors.AsType[*RedirectError](err)
	proxy, _ := errors.AsType[*ProxyError](err)
	return distrusted(err) || redirected || proxy != nil && proxy.Refused() || errors.Is(err, ErrTooLarge) || errors.Is(err, errLonger) ||
		errors.Is(err, ErrNotAllowed) || errors.Is(err, ErrQueueFull) || errors.Is(err, ErrOpen) || errors.Is(err, guard.ErrPanic)
}

// backoff is how long to wait before the next try: as long as the answer asks for. If it does not ask, the wait doubles with each
// attempt, from least to most, and half of it is random.
func backoff(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
	if resp != nil {
		if after, ok := retryAfter(resp); ok {
			return after
		}
	}
	d := min(least<<attempt, most)
	return d/2 + jitter(d/2)
}

// retryAfter is how long an answer asks to wait, in seconds or until a date, and whether it does.
func retryAfter(resp *http.Response) (time.Duration, bool) {
	const longest = 24 * time.Hour // a huge number would overflow
	text := grpcField(resp, "Retry-After")
	if s, err := strconv.ParseUint(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(s, uint64(longest/time.Second))) * time.Second, true
	}
	at, err := http.ParseTime(text)
	return min(max(0, time.Until(at)), longest), err == nil
}

// jitter is a random time up to d. The kernel makes it: the state of a generator would be the same in every copy of a snapshot.
func jitter(d time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(d)+1))
	if err != nil { // never: rand.Reader returns no errors
		return d
	}
	return time.Duration(n.Int64())
}
