package pool

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"strconv"
	"time"

	"hearth/internal/guard"
	"hearth/pool/conn"
)

const (
	retryWaitMin = 20 * time.Millisecond
	retryWaitMax = 500 * time.Millisecond
)

// retry is the link that sends a request to the next link again, after a while, if that is safe and may help.
type retry struct {
	next     http.RoundTripper
	upstream string
	most     int // tries after the first
	logger   *slog.Logger
	stats    *counters
}

func newRetry(next http.RoundTripper, cfg Config, stats *counters) *retry {
	return &retry{next: next, upstream: cfg.Name, most: cfg.Retries, logger: cfg.Logger, stats: stats}
}

// RoundTrip sends req until it need not be sent again. Every try sends the whole body.
func (r *retry) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	for tries := 0; ; tries++ {
		resp, err := r.try(req)
		again, ended := checkRetry(ctx, resp, err)
		if ended != nil && resp != nil {
			_ = resp.Body.Close()
		}
		switch {
		case ended != nil:
			return nil, ended
		case !again || tries == r.most:
			return resp, err
		}
		wait := backoff(retryWaitMin, retryWaitMax, tries, resp)
		if resp != nil {
			_ = resp.Body.Close() // it holds a share of the memory
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
		r.stats.retries.Add(1)
		r.logger.Debug("retrying", "upstream", r.upstream, "method", req.Method, "attempt", tries+1)
	}
}

func (r *retry) try(req *http.Request) (*http.Response, error) {
	if req.GetBody == nil {
		return r.next.RoundTrip(req)
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	try := req.WithContext(req.Context()) // a copy: the body of the last try may still be read
	try.Body = body
	return r.next.RoundTrip(try)
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
	return distrusted || redirected || errors.Is(err, ErrTooLarge) || errors.Is(err, errLonger) ||
		errors.Is(err, ErrQueueFull) || errors.Is(err, guard.ErrPanic)
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
