package pool

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"hearth/internal/guard"
)

// errLost is why a try is cancelled whose request was answered over another connection.
var errLost = errors.New("another connection was faster")

// exchange sends a request and reads the whole answer, or says why there is none.
//
// What is not safe to repeat goes over a proven connection, once. If the upstream [refused] it, it has not been sent.
//
// What is safe may go over an unproven one, unless it is to be proven. The request is sent over a proven or new one too
// when the try before has had a short wait in vain, and the first answer counts. That is so after each freeze, since any
// connection may have died in it; and where such a try fails while another still runs, once more after twice the wait. If
// the only try fails on a connection that was open before, the upstream may have closed it: the request is replayed once,
// at once, over a new one.
func (p *Pool) exchange(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(errLost)
	first, err := p.conns.get(ctx, want{proven: optionsOf(ctx).wantsProven()})
	if err != nil {
		return nil, err
	}
	if !optionsOf(ctx).Repeatable {
		return p.send(ctx, first, req)
	}
	s := &sending{pool: p, ctx: ctx, req: req, results: make(chan result)}
	s.start(func() (lease, error) { return first, nil })

	var pause time.Duration
	var wait <-chan time.Time // until the request is sent once more
	race := func() {
		if !p.cfg.Policy.NoRace {
			pause = p.shortWait()
			wait = time.After(pause)
		}
	}
	if !first.proven {
		race()
	}
	second := With(ctx, Options{Background: true}) // a caller needs one connection
	replayed, thaws := false, first.thaws
	for {
		select {
		case r := <-s.results:
			s.running--
			switch {
			case r.err == nil:
				return r.resp, nil
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			case s.running > 0: // on connections in doubt, if this was the last try
				if r.number == s.started && wait == nil {
					pause = min(2*pause, longestWait)
					wait = time.After(pause)
				}
			case replayed, !r.reused, p.cfg.Policy.NoReplay, final(r.err):
				return nil, r.err
			default:
				replayed, wait = true, nil
				p.stats.replays.Add(1)
				s.start(s.connection(second, want{proven: true, after: p.conns.newest()}))
			}
		case <-wait:
			wait = nil
			p.stats.races.Add(1)
			s.start(s.connection(second, want{proven: true}))
		case <-p.cfg.Pulse.After(thaws):
			thaws = p.cfg.Pulse.Thaws()
			race()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// sending is the tries of one request. Its fields belong to exchange; a try's goroutine only reports.
type sending struct {
	pool    *Pool
	ctx     context.Context //nolint:containedctx // ends with the exchange, and with it the tries that lost
	req     *http.Request
	results chan result
	started int // tries so far
	running int // of them, those without a result yet
}

type result struct {
	resp   *http.Response
	err    error
	number int  // of the try, from 1
	reused bool // the connection was open before
}

// start starts a try over the connection that get brings.
func (s *sending) start(get func() (lease, error)) {
	s.started++
	s.running++
	r := result{number: s.started}
	s.pool.work.Go(func() {
		r.err = guard.Do(func() (err error) {
			l, err := get()
			if err != nil {
				return err
			}
			r.reused = l.reused
			r.resp, err = s.pool.send(s.ctx, l, s.req) //nolint:bodyclose // send has read it; below it is closed where nobody takes it
			return err
		})
		select {
		case s.results <- r:
		case <-s.ctx.Done():
			if r.resp != nil {
				_ = r.resp.Body.Close() // it holds a share of the memory
			}
		}
	})
}

func (s *sending) connection(ctx context.Context, w want) func() (lease, error) {
	return func() (lease, error) { return s.pool.conns.get(ctx, w) }
}

const longestWait = time.Second

// shortWait is what a connection in doubt gets to answer: about twice as long as usual.
func (p *Pool) shortWait() time.Duration {
	const least = 50 * time.Millisecond
	return min(max(2*p.stats.roundTrips.median(), least), longestWait)
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
	optionsOf(ctx).countSent(1)
	sent := time.Now()
	resp, err := l.RoundTrip(out)
	took := time.Since(sent)
	if refused(err) {
		err = p.unsent(ctx, err)
	}
	if err == nil {
		err = p.cfg.Answers.read(ctx, resp, p.cfg.GRPC)
	}
	_, tooLarge := errors.AsType[*TooLargeError](err)
	answered = tooLarge
	if err != nil {
		err = cmp.Or(context.Cause(ctx), err)
		l.silent = errors.Is(err, context.DeadlineExceeded)
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
