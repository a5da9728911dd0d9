package pool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"time"

	"hearth/pool/conn"
)

const (
	leastLook = 250 * time.Millisecond
	mostLook  = time.Second
)

// lookAfter is how long a request waits for its answer before its connection is looked at: four times the usual, but at least
// leastLook and at most mostLook. Where the usual is not known it is leastLook: a look costs the upstream a ping at most.
func lookAfter(usual time.Duration) time.Duration { return min(max(4*usual, leastLook), mostLook) }

// look looks at the connection of the newest try. The look goes on when the request has ended, because other requests may share it.
func (t *tries) look(ctx context.Context) {
	t.race.stats.looks.Add(1)
	line, looked := t.newest.line, make(chan struct{})
	t.looked = looked
	t.race.tries.Go(func() {
		defer close(looked)
		line.look(context.WithoutCancel(ctx), t.race.raceAfter())
	})
}

// once sends a request that must not be repeated (rule 1 of [race]).
func (r *race) once(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel() // the next link has read the whole answer
	o := optionsOf(ctx)
	if o.stuck != nil && !r.policy.NoLook {
		usual := r.stats.usual(o.Kind)
		req = req.WithContext(With(ctx, Options{taken: func(c taken) {
			if c.line != nil {
				r.tries.Go(func() { r.watch(ctx, c.line, usual, o.stuck) })
			}
		}}))
	}
	resp, err := r.next.RoundTrip(req)
	for n := 0; n < mostUnread && unread(err); n++ {
		r.stats.replays.Add(1)
		resp, err = r.next.RoundTrip(req)
	}
	return resp, err
}

// watch looks at a connection from time to time until the request has ended. It calls stuck if the connection is dead.
func (r *race) watch(ctx context.Context, l line, usual time.Duration, stuck func()) {
	for wait := lookAfter(usual); ; wait = min(2*wait, mostLook) {
		select {
		case <-time.After(wait):
			r.stats.looks.Add(1)
			l.look(context.WithoutCancel(ctx), r.raceAfter())
		case <-l.Dead():
			stuck()
			return
		case <-ctx.Done():
			return
		}
	}
}

// line is the connection of a try under way. It is an interface so that tests need no network.
type line interface {
	// look finds out whether the connection is dead. ping is how long a ping may take.
	look(ctx context.Context, ping time.Duration)
	// Dead is closed when the connection was found dead.
	Dead() <-chan struct{}
	// Abort breaks the connection. Nothing that was sent over it arrives later.
	Abort()
}

// leased is the line of a request over a lease.
type leased struct {
	*conn.Lease

	sender *sender
	began  time.Time
}

func (l *leased) look(ctx context.Context, ping time.Duration) {
	if l.sender.busyIsSilent {
		l.Look(time.Since(l.began), nil)
		return
	}
	l.Look(time.Since(l.began), func(over http.RoundTripper) bool { return l.sender.answersPing(ctx, over, ping) })
}

// answersPing sends Config.Ping and says whether the other end is there. Only silence says that it is not: any other failure shows itself
// to the requests on the connection.
func (s *sender) answersPing(ctx context.Context, over http.RoundTripper, within time.Duration) bool {
	freezes := s.pulse.Freezes()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, s.ping.Method, s.base+s.ping.Path, bytes.NewReader(s.ping.Body))
	if err != nil {
		return true
	}
	maps.Copy(req.Header, s.ping.Header)
	resp, err := over.RoundTrip(req)
	if err != nil {
		return !errors.Is(err, context.DeadlineExceeded) || s.pulse.Freezes() != freezes
	}
	_, _ = io.CopyN(io.Discard, resp.Body, smallAnswer) // an error does not matter: the headers are an answer
	_ = resp.Body.Close()
	return true
}

// mayHedge is rule 5 of [race], after a look at the connection of the newest try.
func (t *tries) mayHedge() bool {
	h := t.race.hedges
	if h == nil || t.hedged || t.options.Proven || t.options.Background || t.options.probe != nil || t.usual == 0 || t.running != 1 || t.race.pulse.Freezes() != t.newest.freezes {
		return false
	}
	select {
	case <-t.dead:
		return false
	default:
		return h.take()
	}
}
