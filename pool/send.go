package pool

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"hearth/internal/clock"
	"hearth/pool/conn"
)

// sender is the last link: it sends a request over one connection and reads the whole answer, or says why there is none.
type sender struct {
	conns   *conn.Conns
	answers *Answers
	grpc    bool
	pulse   *clock.Pulse
	stats   *counters
	base    string  // of the upstream
	ping    Request // Config.Ping

	busyIsSilent bool // Config.BusyIsSilent
}

// taken is the connection over which a request goes.
type taken struct {
	freezes uint64 // so far, when it was taken
	proven  bool   // it was proven then
	reused  bool   // it was open before the request came, or has carried an answer
	line    line
	try     int // number of the try whose connection it is
}

// RoundTrip takes a connection as the request's [Options] say, sends the request, reads the whole answer and gives the
// connection back. If nothing was sent, the error is a *[conn.UnsentError].
func (s *sender) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	o := optionsOf(ctx)
	need := conn.Need{Proven: o.Proven || !o.Repeatable, Background: o.Background}
	if o.fresh {
		need.After = s.conns.Newest()
	}
	l, err := s.conns.Take(ctx, need)
	if err != nil {
		return nil, err
	}
	if o.taken != nil {
		o.taken(taken{freezes: l.Freezes, proven: l.Proven, reused: l.Reused, line: &leased{l, s, time.Now()}})
	}
	return s.send(ctx, l, req)
}

// send sends req over a leased connection, reads the whole answer and ends the lease.
func (s *sender) send(ctx context.Context, l *conn.Lease, req *http.Request) (_ *http.Response, err error) {
	out := req
	if req.GetBody != nil {
		out = req.WithContext(ctx) // a copy: a link does not change its caller's request
		if out.Body, err = req.GetBody(); err != nil {
			l.Drop()
			return nil, err
		}
	}
	// First the request is counted, then ctx is looked at. So a caller that leaves with ctx has counted every request that was sent.
	optionsOf(ctx).countSent(1)
	if ctx.Err() != nil {
		optionsOf(ctx).countSent(-1)
		l.Drop()
		return nil, &conn.UnsentError{Err: context.Cause(ctx)}
	}
	answered, silent := false, false
	defer func() { l.Return(answered, silent) }()
	s.stats.requests.Add(1)
	if l.Reused {
		s.stats.reused.Add(1)
	}
	began := time.Now()
	roundTrip := l.RoundTrip
	if o := optionsOf(ctx); o.Proven || !o.Repeatable { // a write, or a read that is sent again
		roundTrip = l.RoundTripOnce
	}
	resp, err := roundTrip(out)
	took := time.Since(began)
	if refused(err) {
		err = s.unsent(ctx, err)
	}
	if err == nil {
		if heard := optionsOf(ctx).heard; heard != nil {
			heard()
		}
		err = s.answers.read(ctx, resp, s.grpc)
	}
	if err != nil {
		_, answered = errors.AsType[*TooLargeError](err)
		err = cmp.Or(context.Cause(ctx), err)
		silent = errors.Is(err, context.DeadlineExceeded)
		if !errors.Is(err, errSlower) {
			s.stats.failures.Add(1)
		}
		return nil, err
	}
	answered = true
	if s.pulse.Freezes() == l.Freezes { // otherwise took contains a freeze
		s.stats.roundTrips.add(took)
		if status := grpcStatus(resp); resp.StatusCode < http.StatusBadRequest && (status == "" || status == "0") {
			s.stats.usuals.add(optionsOf(ctx).Kind, time.Since(began))
		}
	}
	return resp, nil
}
