package pool

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"hearth/internal/clock"
	"hearth/internal/guard"
	"hearth/pool/conn"
)

// errTooSlow is the failure of a request that takes far longer than usual, even if its answer comes.
var errTooSlow = errors.New("answers take far longer than usual")

// judged is the link that judges how a request has ended after its race. It tells the breaker, the limit and, if the request has failed,
// the log.
type judged struct {
	next    http.RoundTripper
	breaker *Breaker
	limit   *Limit
	pulse   *clock.Pulse
	stats   *counters
	address string

	ownError  func(body []byte) bool // Config.OwnError
	varied    bool                   // Config.Varied
	timeout   time.Duration          // Config.Timeout
	noBreaker bool                   // Policy.NoBreaker
}

// RoundTrip sends req to the next link, and judges how that ends.
func (j *judged) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(nil) // the next link has read the whole answer
	o := optionsOf(ctx)
	usual := time.Duration(0)
	if !j.varied {
		usual = j.stats.usual(o.Kind)
	}
	var v verdict
	var stuck atomic.Bool
	var t *pending
	if o.stuck != nil { // a dead connection says nothing about the upstream
		ctx = With(ctx, Options{stuck: func() {
			stuck.Store(true)
			t.excuse()
			o.stuck()
		}})
	}
	if o.probe == nil && !j.noBreaker {
		giveUp := cancel
		if !o.Repeatable || o.Proven { // a write goes on, because its outcome would be unknown
			giveUp = nil
		}
		var err error
		if t, err = j.breaker.begin(usual, j.patience(usual), o, giveUp); err != nil {
			return nil, err
		}
		ctx = With(ctx, Options{heard: t.hear})
		defer func() { t.end(v) }()
	}
	began, freezes := j.limit.begin(), j.pulse.Freezes()
	resp, err := j.next.RoundTrip(req.WithContext(ctx))
	took := j.pulse.TimeAwake() - began.at
	if j.pulse.Freezes() != freezes { // the freeze may have caused any outcome
		return resp, err
	}
	cause := context.Cause(req.Context())
	callerLeft := err != nil && cause != nil && !errors.Is(cause, context.DeadlineExceeded)
	if !callerLeft {
		v = j.judge(resp, err)
	}
	switch {
	case o.probe != nil:
		j.breaker.learn(o.probe, v.outcome)
	case v.outcome == silent && took < j.patience(usual), stuck.Load(): // the caller had too little time, or the connection was dead
		v = verdict{}
	case j.varied && v.outcome == silent:
	default:
		j.limit.learn(v.outcome, o.Kind, began)
	}
	if v.why != nil {
		j.breaker.failures.Warn(v.what, "call failed", "upstream", j.breaker.cfg.Name, "address", j.address, "what", v.what, "error", v.why)
	}
	return resp, err
}

// patience is at most what the function patience returns. It is shorter than the pool's own timeout, so that a request which that timeout
// ends counts as silent.
func (j *judged) patience(usual time.Duration) time.Duration {
	return min(patience(usual), j.timeout*9/10)
}

// judge judges a request as the function judge does, but a 500 that Config.OwnError recognizes is no failure.
func (j *judged) judge(resp *http.Response, err error) verdict {
	if err == nil && j.ownError != nil && resp.StatusCode == http.StatusInternalServerError {
		if body, err := bodyOf(resp); err == nil && j.ownError(body) {
			return verdict{outcome: well}
		}
	}
	return judge(resp, err)
}

// verdict is the outcome of a request. The zero verdict says nothing about the upstream.
type verdict struct {
	outcome

	what string // the kind of failure, one of few
	why  error  // nil: no failure
}

// judge says how a request has ended that no freeze has interrupted.
func judge(resp *http.Response, err error) verdict {
	if err == nil {
		return judgeAnswer(resp)
	}
	notSent, unsent := errors.AsType[*conn.UnsentError](err)
	switch {
	case errors.Is(err, ErrTooLarge), errors.Is(err, errLonger):
		return verdict{outcome: well}
	case errors.Is(err, context.Canceled), errors.Is(err, ErrClosed), errors.Is(err, ErrOpen), errors.Is(err, guard.ErrPanic):
		return verdict{}
	case errors.Is(err, context.DeadlineExceeded):
		return verdict{silent, "no answer in time", err}
	case distrusted(err): // the certificate may be renewed; until then every call would cost a handshake
		return verdict{broken, "certificate not trusted", err}
	case permanent(err): // the settings are wrong
		return verdict{noSign, "wrong settings", err}
	case unsent && refused(notSent.Err): // the connection had too many requests
		return verdict{}
	case unsent:
		return verdict{cut, "no connection", err}
	}
	return verdict{cut, "connection lost", err}
}

// judgeAnswer judges an answer by its status.
func judgeAnswer(resp *http.Response) verdict {
	v := verdict{what: "answer " + strconv.Itoa(resp.StatusCode)}
	switch code := grpcStatus(resp); {
	case code == grpcUnavailable, code == grpcDeadlineExceeded, code == grpcResourceExhausted && !messageTooLarge(resp):
		v = verdict{outcome: overloaded, what: "answer with gRPC status " + code}
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusGatewayTimeout:
		v.outcome = overloaded
	case resp.StatusCode == http.StatusInternalServerError, resp.StatusCode == http.StatusBadGateway:
		v.outcome = broken
	default:
		return verdict{outcome: well}
	}
	v.why = errors.New(v.what)
	return v
}

// Codes of gRPC.
const (
	grpcDeadlineExceeded  = "4"
	grpcResourceExhausted = "8"
	grpcUnavailable       = "14" // the call may succeed later
)

// grpcStatus is the code of an answer of gRPC whose body was read, and empty for any other answer. The code is in the trailers, or in
// the headers if there is no message.
func grpcStatus(resp *http.Response) string { return grpcField(resp, "Grpc-Status") }

// messageTooLarge says that gRPC's code is about the size of a message. Another try would have the same size.
func messageTooLarge(resp *http.Response) bool {
	return strings.Contains(grpcField(resp, "Grpc-Message"), "larger than max")
}

func grpcField(resp *http.Response, name string) string {
	return cmp.Or(resp.Trailer.Get(name), resp.Header.Get(name))
}
