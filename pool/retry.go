package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	retryWaitMin = 20 * time.Millisecond
	retryWaitMax = 500 * time.Millisecond
)

// newRetry makes the retrying client around the transport. The library's defaults would retry any POST, log
// each failure to stderr, throw the last answer away and, on a cancelled request, close every idle
// connection: the transport it sees has a RoundTrip method and nothing else.
func (p *Pool) newRetry() *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport:     struct{ http.RoundTripper }{p.transport},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryWaitMin: retryWaitMin,
		RetryWaitMax: retryWaitMax,
		RetryMax:     p.cfg.Retries,
		CheckRetry:   checkRetry,
		Backoff:      backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
		RequestLogHook: func(_ retryablehttp.Logger, req *http.Request, attempt int) {
			if attempt > 0 {
				p.transport.stats.retries.Add(1)
				p.cfg.Logger.Debug("retrying", "upstream", p.cfg.Name, "method", req.Method, "attempt", attempt)
			}
		},
	}
}

// checkRetry retries what is repeatable, and whatever failed before it had a connection.
func checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return true, nil
		}
		return repeatable(ctx) && !isCertificateError(err), nil
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return repeatable(ctx), nil
	}
	return false, nil
}

// backoff waits as long as the upstream asks for, but never longer than the most, and otherwise doubles with jitter.
func backoff(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
	if resp != nil {
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 {
			return min(time.Duration(min(s, 1<<30))*time.Second, most) // a huge number would overflow
		}
	}
	d := min(least<<attempt, most)
	return d/2 + rand.N(d/2+1)
}
