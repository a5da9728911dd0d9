// Package conn keeps the connections to one upstream: which are open, which of them a freeze may have broken, and which
// request gets which.
//
// Start reading at the rules of the book (book.go), which decides and does nothing. [Conns] (conns.go) tells the book what
// happens and does what the book says. dial.go opens connections, and proxy.go those through a forward proxy. gather.go makes few writes of many. look.go finds dead
// connections, and socket_linux.go asks the kernel about them.
//
// The package sends nothing by itself, and knows nothing of retries, slots or answers: those are the pool's.
package conn

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"hearth/internal/clock"
	"hearth/internal/guard"
)

// Why a request got no connection. A [Conns] wraps them in an [UnsentError].
var (
	// ErrClosed occurs after Close.
	ErrClosed = errors.New("pool closed")
	// ErrClosedAtOnce occurs when a new connection is closed before it has carried anything.
	ErrClosedAtOnce = errors.New("the upstream closed the connection at once")
)

// UnsentError is the error of a request that the upstream has certainly not read: it was not sent, or was refused unread.
type UnsentError struct{ Err error }

func (e *UnsentError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *UnsentError) Unwrap() error { return e.Err }

// Link is a connection as net/http offers it: an *[http.ClientConn].
type Link interface {
	RoundTrip(req *http.Request) (*http.Response, error)
	Reserve() error
	Release()
	Available() int
	InFlight() int
	Err() error
	Close() error
}

// Conn is a connection that a dial has brought.
type Conn struct {
	Link

	Socket // what the kernel knows of it

	shared   bool               // it carries several requests: HTTP/2
	answered atomic.Bool        // it has brought an answer
	dead     chan struct{}      // closed when it was found dead
	looks    singleflight.Group // the look under way, which requests share
}

// Dial opens one connection.
type Dial func(context.Context) (*Conn, error)

// Config of a [Conns].
type Config struct {
	Dial      Dial
	Pulse     *clock.Pulse  // notices freezes; nil: there are none
	Size      int           // idle connections that are kept
	FirstWarm int           // connections that the first warm-up opens
	KeepFrom  uint64        // freezes from which on connections are kept at all: before, each is closed when it is idle
	MaxIdle   time.Duration // after which an unused connection is closed
	Shared    bool          // connections are expected to carry several requests, before the first one tells
}

// Need is what a request asks of its connection.
type Need struct {
	Proven     bool   // no freeze may have broken it
	After      uint64 // its number is greater than this: see [Conns.Newest]
	Background bool   // the request says nothing about how many connections callers need
}

// Conns are the open connections to one upstream, those that are being dialed, and the requests that wait for one.
//
// mu guards the book and what stands below it. Under mu nothing waits, sends or calls back: connections and the kernel are
// asked for their state, a place on a connection is reserved, goroutines are started, and channels that have room are sent
// to. Connections are closed after mu is released. The only lock that is taken under mu is the pulse's.
type Conns struct {
	cfg    Config
	ctx    context.Context //nolint:containedctx // of dials and the sweep: they outlive the request that caused them
	cancel context.CancelFunc
	work   sync.WaitGroup // dials and the sweep; they are started under mu, and not after shut

	mu      sync.Mutex
	book    book
	found   int64                    // connections found dead
	conns   map[uint64]*Conn         // by their numbers in the book; those that are not to be closed yet
	waiting map[uint64]chan<- result // by the book's numbers; each has room for one
	warming map[uint64]chan<- error  // by dial; each has room for its result
}

type result struct {
	lease *Lease
	err   error
}

// New makes a Conns that has no connection yet. Its dials end with ctx, or with [Conns.Close].
func New(ctx context.Context, cfg Config) *Conns {
	cfg.Pulse = cmp.Or(cfg.Pulse, clock.Awake())
	c := &Conns{
		cfg:  cfg,
		book: book{limits: limits{size: cfg.Size, firstWarm: cfg.FirstWarm, keepFrom: cfg.KeepFrom, maxIdle: cfg.MaxIdle}, shared: cfg.Shared},

		conns: map[uint64]*Conn{}, waiting: map[uint64]chan<- result{}, warming: map[uint64]chan<- error{},
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// Take waits for a connection that suits, and returns the right to send one request over it. Errors are *[UnsentError].
func (c *Conns) Take(ctx context.Context, need Need) (*Lease, error) {
	if c.ctx.Err() != nil { // the pool closes, though connections may still be open
		return nil, &UnsentError{ErrClosed}
	}
	if ctx.Err() != nil {
		return nil, &UnsentError{context.Cause(ctx)}
	}
	got := make(chan result, 1)
	var id, freezes uint64
	c.happen(func(s sight) (do todo) {
		freezes = s.freezes
		id, do = c.book.want(s, need)
		c.waiting[id] = got
		return do
	})
	select {
	case r := <-got: // a connection was open
		return r.lease, r.err
	default:
	}
	for {
		select {
		case r := <-got:
			return r.lease, r.err
		case <-c.cfg.Pulse.After(freezes): // the dial under way may never end
			c.happen(func(s sight) todo {
				freezes = s.freezes
				return c.book.looked(s)
			})
		case <-ctx.Done():
			late := false
			c.happen(func(s sight) (do todo) {
				late, do = c.book.giveUp(s, id)
				delete(c.waiting, id)
				return do
			})
			if late {
				if r := <-got; r.lease != nil {
					r.lease.Drop()
				}
			}
			return nil, &UnsentError{context.Cause(ctx)}
		}
	}
}

// Lease is the right to send one request over a connection. Either Return or Drop ends it.
type Lease struct {
	Freezes uint64 // so far, when it was given
	Proven  bool   // the connection was proven then: see the rules of the book
	Reused  bool   // the connection was open before the request came, or has carried an answer

	conns *Conns
	conn  *Conn
	hand  hand
}

// RoundTrip sends the request.
func (l *Lease) RoundTrip(req *http.Request) (*http.Response, error) { return l.conn.RoundTrip(req) }

// Return ends the lease of a request that was sent. A request is silent if it had no answer when its time was over.
func (l *Lease) Return(answered, silent bool) {
	first := answered && !l.conn.answered.Swap(true)
	l.conns.happen(func(s sight) todo {
		if first && l.conn.fewStreams() {
			l.conns.book.careful = true
		}
		return l.conns.book.ended(s, l.hand, answered, silent)
	})
}

// Drop ends the lease of a request that was not sent.
func (l *Lease) Drop() {
	if !l.conn.shared {
		l.conn.Release()
	}
	l.Return(false, false)
}

// Newest is the number of the last connection opened: one with a greater number is opened after the call.
func (c *Conns) Newest() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.book.lastConn
}

// Careful is for an upstream that has refused a request because the connection had no stream left. From now on, a new connection
// gets only one request until it has carried an answer: before that it is not known how many requests the connection takes. The same
// holds if a connection turns out to take fewer requests than net/http expects.
func (c *Conns) Careful() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book.careful = true
}

// WarmTarget is how many connections a warm-up is to open: as many as callers have used at once so far, or Config.FirstWarm if
// none was used yet or there was no warm-up before. And whether requests share one.
func (c *Conns) WarmTarget() (n int, shared bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.book.warmTarget(), c.book.shared
}

// Counts says how many connections are open, and how many of them carry no request.
func (c *Conns) Counts() (open, idle int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.book.open {
		if c.conns[e.number].Err() == nil {
			open++
			if e.busy == 0 {
				idle++
			}
		}
	}
	return open, idle
}

// Warm dials until n connections, at most Config.Size, are open, and returns when those dials have ended, with the errors of
// all, or when ctx ends. The dials go on then.
func (c *Conns) Warm(ctx context.Context, n int) error {
	var done chan error
	c.happen(func(s sight) todo {
		do := c.book.warm(s, n)
		done = make(chan error, len(do.dials))
		for _, id := range do.dials {
			c.warming[id] = done
		}
		return do
	})
	var errs []error
	for range cap(done) {
		select {
		case err := <-done:
			errs = append(errs, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return errors.Join(errs...)
}

// Close closes every connection, fails the requests that wait for one, cancels the dials and returns when they have ended.
func (c *Conns) Close() {
	c.happen(func(s sight) todo { return c.book.shut(s) })
	c.cancel()
	c.work.Wait()
}

// happen tells the book of an event and does what is to be done.
func (c *Conns) happen(event func(sight) todo) {
	for _, conn := range c.tell(event) {
		_ = conn.Close() // its error helps no request
	}
}

func (c *Conns) tell(event func(sight) todo) (closing []*Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := sight{at: c.cfg.Pulse.Now(), freezes: c.cfg.Pulse.Freezes()}
	s.look = func(number uint64) look { return c.conns[number].look() }
	do := event(s)
	closing = c.doLocked(do)
	for hands := do.hands; len(hands) > 0; hands = do.hands {
		do = todo{}
		for _, h := range hands {
			if c.handLocked(h) {
				continue
			}
			more := c.book.notTaken(s, h)
			closing = append(closing, c.doLocked(more)...)
			do.hands = append(do.hands, more.hands...)
		}
	}
	return closing
}

// doLocked does everything in do except the hands.
func (c *Conns) doLocked(do todo) (closing []*Conn) {
	for _, f := range do.fails {
		c.answerLocked(f.waiter, result{err: &UnsentError{f.err}})
	}
	for _, id := range do.dials {
		c.work.Go(func() { c.dial(id) })
	}
	for _, number := range do.closes {
		closing = append(closing, c.conns[number])
		delete(c.conns, number)
	}
	if do.sweep {
		c.work.Go(c.sweep)
	}
	return closing
}

// handLocked gives a waiter its connection, unless that has ended meanwhile.
//
// On HTTP/2 the place is not kept reserved: the book counts the requests. In net/http (Go 1.26, awaitOpenSlotForStreamLocked) a
// request that begins waits until fewer streams are open or reserved than the server allows. It holds a lock meanwhile, so the
// requests with the other reservations cannot begin. A new connection takes 100 reservations before the server's SETTINGS come. If
// they allow fewer, all of those requests would wait for each other until their time is over.
func (c *Conns) handLocked(h hand) bool {
	conn := c.conns[h.conn]
	if conn.Reserve() != nil {
		return false
	}
	if conn.shared {
		conn.Release()
	}
	c.answerLocked(h.id, result{lease: &Lease{Freezes: h.freezes, Proven: h.proven, Reused: h.reused, conns: c, conn: conn, hand: h}})
	return true
}

func (c *Conns) answerLocked(waiter uint64, r result) {
	c.waiting[waiter] <- r
	delete(c.waiting, waiter)
}

func (c *Conns) dial(id uint64) {
	conn, err := guard.Get(func() (*Conn, error) { return c.cfg.Dial(c.ctx) })
	c.happen(func(s sight) (do todo) {
		if done := c.warming[id]; done != nil {
			done <- err
			delete(c.warming, id)
		}
		if err != nil {
			return c.book.dialFailed(s, id, err)
		}
		l := conn.look()
		conn.shared, conn.dead = l.streams > 1, make(chan struct{})
		number, do := c.book.dialed(s, id, l)
		c.conns[number] = conn
		return do
	})
}

func (c *Conns) sweep() {
	timer := time.NewTimer(c.cfg.MaxIdle)
	defer timer.Stop()
	select {
	case <-timer.C:
		c.happen(func(s sight) todo { return c.book.tick(s) })
	case <-c.ctx.Done():
	}
}

func (c *Conn) look() look {
	l := look{broken: c.Err() != nil, free: c.Available()}
	l.streams = l.free + c.InFlight()
	l.lost = l.free > 0 && c.Lost()
	return l
}

// fewStreams says whether an HTTP/2 connection takes fewer requests than net/http takes for granted before it has the server's
// SETTINGS.
func (c *Conn) fewStreams() bool {
	const granted = 100
	return c.shared && c.Err() == nil && c.Available()+c.InFlight() < granted
}
