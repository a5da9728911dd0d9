package pool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"hearth/internal/clock"
)

// exchange is one try: a request and its whole answer.
//
// What is not safe to repeat goes over a proven connection, once. What is safe may go over an unproven one, which
// has a short time to answer before the request is sent over a proven one too: the first answer counts. A try that
// fails on a connection that was open before is replayed the same way, at once: the upstream may just have
// closed it.
func (p *Pool) exchange(req *http.Request) (*http.Response, error) {
	if !repeatable(req.Context()) {
		l, err := p.conns.get(req.Context(), true)
		if err != nil {
			return nil, err
		}
		return p.send(req.Context(), l, req)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(errLost)
	first, err := p.conns.get(ctx, false)
	if err != nil {
		return nil, err
	}
	results := make(chan result, 2)
	p.work.Go(func() {
		resp, err := p.send(ctx, first, req) //nolint:bodyclose // send has read and closed it
		results <- result{resp, err}
	})
	second := func() {
		p.work.Go(func() {
			l, err := p.conns.get(ctx, true)
			if err != nil {
				results <- result{nil, err}
				return
			}
			resp, err := p.send(ctx, l, req) //nolint:bodyclose // likewise
			results <- result{resp, err}
		})
	}

	var wait <-chan time.Time // for the first, while it is alone on an unproven connection
	if !first.proven && !p.cfg.NoRace {
		wait = time.After(p.shortWait())
	}
	beat := time.NewTicker(clock.Beat)
	defer beat.Stop()
	running, both := 1, false
	for {
		select {
		case r := <-results:
			running--
			switch {
			case r.err == nil, both && running == 0:
				return r.resp, r.err
			case both: // the other may do better
			case !first.reused || p.cfg.NoReplay || final(r.err) || ctx.Err() != nil:
				return nil, r.err
			default:
				p.stats.replays.Add(1)
				running, both = running+1, true
				second()
			}
		case <-wait:
			if wait = nil; !both {
				p.stats.races.Add(1)
				running, both = running+1, true
				second()
			}
		case <-beat.C:
			if wait == nil && !both && !p.cfg.NoRace && p.cfg.Pulse.Thaws() != first.thaws {
				wait = time.After(p.shortWait()) // a freeze has passed over it
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// errLost is why a request is cancelled whose twin was answered.
var errLost = errors.New("another connection was faster")

type result struct {
	resp *http.Response
	err  error
}

// shortWait is what an unproven connection gets to answer: about twice as long as usual.
func (p *Pool) shortWait() time.Duration {
	const least, most = 50 * time.Millisecond, time.Second
	return min(max(2*p.stats.roundTrips.median(), least), most)
}

// send sends req over a leased connection, reads the whole answer and ends the lease.
func (p *Pool) send(ctx context.Context, l lease, req *http.Request) (_ *http.Response, err error) {
	answered := false
	defer func() { p.conns.put(l, answered) }()
	out := req.Clone(ctx)
	if req.GetBody != nil {
		if out.Body, err = req.GetBody(); err != nil {
			l.Release()
			return nil, err
		}
	}
	p.stats.requests.Add(1)
	if l.reused {
		p.stats.reused.Add(1)
	}
	markSent(ctx)
	sent := time.Now()
	resp, err := l.RoundTrip(out)
	took := time.Since(sent)
	if err == nil {
		err = p.readAll(resp)
	}
	if err != nil {
		err = cmp.Or(context.Cause(ctx), err)
		if !errors.Is(err, errLost) {
			p.stats.failures.Add(1)
		}
		return nil, err
	}
	answered = true
	if p.cfg.Pulse.Thaws() == l.thaws { // else it is the freeze's time
		p.stats.roundTrips.add(took)
	}
	return resp, nil
}

// readAll replaces the body of an answer, which must not be too large, by one that is read already.
func (p *Pool) readAll(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, p.cfg.MaxResponse+1))
	if e := resp.Body.Close(); err == nil {
		err = e
	}
	if err == nil && int64(len(b)) > p.cfg.MaxResponse {
		err = ErrTooLarge
	}
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return err
}
