package pool

import (
	"cmp"
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
	client := &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     next,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryWaitMin: retryWaitMin,
		RetryWaitMax: retryWaitMax,
		RetryMax:     cfg.Retries,
		CheckRetry:   checkRetry,
		Backoff:      backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
		RequestLogHook: func(_ retryablehttp.Logger, req *http.Request, attempt int) {
			if attempt > 0 {
				stats.retries.Add(1)
				cfg.Logger.Debug("retrying", "upstream", cfg.Name, "method", req.Method, "attempt", attempt)
			}
		},
	}
	return roundTripperFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := (&retryablehttp.RoundTripper{Client: client}).RoundTrip(req)
		if err != nil && resp != nil { // the library also returns the answer of the try before the error
			_ = resp.Body.Close()
			resp = nil
		}
		return resp, err
	})
}

// checkRetry retries a request that is repeatable, and any request that was certainly not sent.
func checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if err != nil {
		_, unsent := errors.AsType[*conn.UnsentError](err)
		return (unsent || optionsOf(ctx).Repeatable) && !permanent(err), nil
	}
	if grpcStatus(resp) == grpcUnavailable {
		return optionsOf(ctx).Repeatable, nil
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return optionsOf(ctx).Repeatable, nil
	}
	return false, nil
}

// grpcUnavailable is gRPC's code for a call that may succeed later.
const grpcUnavailable = "14"

// grpcStatus is the code of an answer of gRPC that was read. It is in the trailers, or in the headers if there is no message.
// It is empty for any other answer.
func grpcStatus(resp *http.Response) string {
	const name = "Grpc-Status"
	return cmp.Or(resp.Trailer.Get(name), resp.Header.Get(name))
}

// permanent says that a failure will be the same next time.
func permanent(err error) bool {
	_, distrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, redirected := errors.AsType[*RedirectError](err)
	proxy, _ := errors.AsType[*ProxyError](err)
	return distrusted || redirected || proxy != nil && proxy.Refused() || errors.Is(err, ErrTooLarge) || errors.Is(err, errLonger) ||
		errors.Is(err, ErrNotAllowed) || errors.Is(err, ErrQueueFull) || errors.Is(err, guard.ErrPanic)
}

// backoff waits as long as the upstream asks for, but never longer than the most, and otherwise doubles with jitter.
func backoff(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
	if resp != nil {
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 {
			return min(time.Duration(min(s, 1<<30))*time.Second, most) // a huge number would overflow
		}
	}
	d := min(least<<attempt, most)
	return d/2 + jitter(d/2)
}

// jitter is up to d. It comes from the kernel: a generator's state would be the same in every copy of a snapshot.
func jitter(d time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(d)+1))
	if err != nil { // never, as crypto/rand has it
		return d
	}
	return time.Duration(n.Int64())
}
