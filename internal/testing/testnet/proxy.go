package testnet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Cut is how connections end.
type Cut int

// The ways.
const (
	FIN  Cut = iota // as an upstream closes an idle connection
	RST             // as an upstream that crashed, or that does not know the connection
	Half            // with a FIN, but the upstream stays, and takes and loses what comes
)

// ErrClosed is returned by a Proxy's commands after Close.
var ErrClosed = errors.New("testnet: proxy closed")

// Proxy is a TCP proxy in which every byte takes half a round trip, and whose connections can be broken and slowed down. It does not
// terminate TLS.
//
// The kernel answers a loopback connect at once, so the round trip that a far connect takes is charged to the first
// bytes the client sends: they count as sent one round trip after the accept. A new TLS 1.3 connection with one
// request thus costs three round trips, a kept one costs one.
type Proxy struct {
	target    string
	rtt       atomic.Int64
	jitter    atomic.Int64
	bandwidth atomic.Int64
	swallow   atomic.Bool
	detour    atomic.Pointer[string]
	stop      chan struct{} // closed by Close
	wg        sync.WaitGroup

	mu       sync.Mutex
	front    net.Listener       // guarded by mu; the last one, which may be closed
	links    map[*link]struct{} // guarded by mu
	accepted int                // guarded by mu
	closed   bool               // guarded by mu
}

// link is one connection through the proxy.
type link struct {
	client, server  *net.TCPConn
	dark, forgotten atomic.Bool
}

// NewProxy listens on a loopback port and forwards to target, a round trip of rtt away. Close it.
func NewProxy(target string, rtt time.Duration) (*Proxy, error) {
	front, err := listenOutside()
	if err != nil {
		return nil, err
	}
	return newProxy(front, target, rtt), nil
}

// FreeAddress returns a loopback address on which no process listens. Its port is outside the range of outgoing connections, so
// none of them can take it before a server does, or while the server is away.
func FreeAddress() (string, error) {
	l, err := listenOutside()
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// listenOutside listens where FreeAddress says.
func listenOutside() (net.Listener, error) {
	for range 100 {
		port := strconv.Itoa(20_000 + rand.N(12_000))
		if front, err := listen(net.JoinHostPort("127.0.0.1", port)); err == nil {
			return front, nil
		}
	}
	return nil, errors.New("testnet: no free port from 20000 to 31999")
}

func listen(addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("testnet: %w", err)
	}
	return l, nil
}

func newProxy(front net.Listener, target string, rtt time.Duration) *Proxy {
	p := &Proxy{target: target, stop: make(chan struct{}), links: map[*link]struct{}{}}
	p.SetRTT(rtt)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serveLocked(front)
	return p
}

// Addr is "localhost" and the port: the same wherever the proxy has moved.
func (p *Proxy) Addr() string {
	_, port, _ := net.SplitHostPort(p.address())
	return net.JoinHostPort("localhost", port)
}

func (p *Proxy) address() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.front.Addr().String()
}

// Accepted returns how many connections were accepted.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// SetRTT changes what a round trip costs bytes read from now on.
func (p *Proxy) SetRTT(rtt time.Duration) { p.rtt.Store(int64(rtt)) }

// SetJitter makes each piece of data come up to d later, in its order.
func (p *Proxy) SetJitter(d time.Duration) { p.jitter.Store(int64(d)) }

// SetBandwidth limits each direction of each connection to bytes per second; 0: there is no limit.
func (p *Proxy) SetBandwidth(bytes int) { p.bandwidth.Store(int64(bytes)) }

// Swallow makes new connections as silent as after [Proxy.BlackHole], until it is called with false.
func (p *Proxy) Swallow(on bool) { p.swallow.Store(on) }

// Detour connects new connections to another server; "" ends that.
func (p *Proxy) Detour(target string) {
	if target == "" {
		p.detour.Store(nil)
		return
	}
	p.detour.Store(&target)
}

// Open returns how many connections are open.
func (p *Proxy) Open() int { return len(p.open()) }

// Cut ends every connection.
func (p *Proxy) Cut(how Cut) { p.each(func(l *link) { l.cut(how) }) }

// BlackHole silences every open connection: it stays open, and what either side sends is acknowledged and lost, a FIN too. New
// connections work.
func (p *Proxy) BlackHole() { p.each(func(l *link) { l.dark.Store(true) }) }

// Drop drops the flow of every open connection, like a network that has forgotten it: the connection stays open, and no packet arrives
// at either end, not even an acknowledgement. New connections work. It works on Linux only.
func (p *Proxy) Drop() error {
	var errs []error
	p.each(func(l *link) {
		errs = append(errs, dropAll(l.client))
		l.dark.Store(true) // drops what the server sends
	})
	return errors.Join(errs...)
}

// Forget makes every open connection answer the client's next bytes with a reset, like a NAT that has dropped an idle flow. Until
// then the connection stays open. New connections work.
func (p *Proxy) Forget() { p.each(func(l *link) { l.forgotten.Store(true) }) }

// Restart closes every connection, refuses new ones for as long as down, and then accepts again on the same port.
func (p *Proxy) Restart(down time.Duration) error {
	p.mu.Lock()
	front := p.front
	p.mu.Unlock()
	front.Close()
	p.Cut(FIN)
	timer := time.NewTimer(down)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.stop:
		return ErrClosed
	}
	return p.listen(front.Addr().String())
}

// Move leaves 127.0.0.1 for ::1 or the other way round, and closes every connection to the old address. A dial
// to Addr still reaches the proxy if "localhost" means both addresses.
func (p *Proxy) Move() error {
	host, port, _ := net.SplitHostPort(p.address())
	to := "::1"
	if host == to {
		to = "127.0.0.1"
	}
	if err := p.listen(net.JoinHostPort(to, port)); err != nil {
		return err
	}
	p.Cut(FIN)
	return nil
}

// Close ends every connection and returns when nothing is left of them.
func (p *Proxy) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.stop)
		p.front.Close()
	}
	p.mu.Unlock()
	p.Cut(FIN)
	p.wg.Wait()
}

func (p *Proxy) each(do func(*link)) {
	for _, l := range p.open() {
		do(l)
	}
}

func (p *Proxy) open() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.links))
}

// listen accepts on addr from now on, and nowhere else.
func (p *Proxy) listen(addr string) error {
	front, err := listen(addr)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		front.Close()
		return ErrClosed
	}
	p.front.Close()
	p.serveLocked(front)
	return nil
}

func (p *Proxy) serveLocked(front net.Listener) {
	p.front = front
	p.wg.Go(func() {
		for {
			client, err := front.Accept()
			if err != nil {
				return
			}
			accepted := time.Now()
			p.wg.Go(func() { p.join(client.(*net.TCPConn), accepted) })
		}
	})
}

func (p *Proxy) join(client *net.TCPConn, accepted time.Time) {
	defer client.Close()
	target := p.target
	if detour := p.detour.Load(); detour != nil {
		target = *detour
	}
	c, err := net.Dial("tcp", target) //nolint:noctx // loopback: answers at once
	if err != nil {
		return
	}
	l := &link{client: client, server: c.(*net.TCPConn)}
	l.dark.Store(p.swallow.Load())
	defer l.server.Close()
	p.mu.Lock()
	p.accepted++
	closed := p.closed
	p.links[l] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
	}()
	if closed {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.carry(l, l.server, client, accepted.Add(time.Duration(p.rtt.Load()))) })
	both.Go(func() { p.carry(l, client, l.server, accepted) })
	both.Wait()
}

func (l *link) cut(how Cut) {
	switch how {
	case Half:
		l.dark.Store(true)
		_ = l.client.CloseWrite() // it may be closed already
		return
	case RST:
		_ = l.client.SetLinger(0) // likewise
	case FIN:
	}
	l.client.Close()
	l.server.Close()
}

// chunk is what one Read brought, to be written at due. A nil b is the end of the stream.
type chunk struct {
	b   []byte
	due time.Time
}

// queued bounds the chunks of one direction that are on their way: at 32 KiB each it is far above what any test
// sends within one round trip.
const queued = 512

// carry copies src to dst with the delay; nothing counts as sent before earliest. It ends with src's end, which it
// passes on as a half-close, or when either side breaks.
func (p *Proxy) carry(l *link, dst, src *net.TCPConn, earliest time.Time) {
	q := make(chan chunk, queued)
	gone := make(chan struct{}) // closed when dst takes no more
	var read sync.WaitGroup
	read.Go(func() {
		defer close(q)
		buf := make([]byte, 32<<10)
		for {
			n, err := src.Read(buf)
			at := time.Now()
			if at.Before(earliest) {
				at = earliest
			}
			at = at.Add(time.Duration(p.rtt.Load()) / 2)
			if jitter := p.jitter.Load(); jitter > 0 {
				at = at.Add(time.Duration(rand.Int64N(jitter)))
			}
			c := chunk{due: at}
			if n > 0 {
				if src == l.client && l.forgotten.Load() {
					l.cut(RST)
					return
				}
				c.b = append(c.b, buf[:n]...)
				select {
				case q <- c:
				case <-gone:
					return
				}
			}
			if err != nil {
				select {
				case q <- chunk{due: c.due}:
				case <-gone:
				}
				return
			}
		}
	})
	p.deliver(l, dst, q)
	close(gone)
	src.CloseRead() //nolint:errcheck // it may be closed already
	read.Wait()
}

func (p *Proxy) deliver(l *link, dst *net.TCPConn, q <-chan chunk) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var free time.Time // when the bandwidth has room again
	for c := range q {
		if bandwidth := p.bandwidth.Load(); bandwidth > 0 {
			if now := time.Now(); free.Before(now) {
				free = now
			}
			free = free.Add(time.Duration(len(c.b)) * time.Second / time.Duration(bandwidth))
			if c.due.Before(free) {
				c.due = free
			}
		}
		if d := time.Until(c.due); d > 0 {
			timer.Reset(d)
			select {
			case <-timer.C:
			case <-p.stop:
				return
			}
		}
		switch {
		case l.dark.Load():
			if c.b == nil && dst == l.server {
				l.cut(FIN) // the client has left, and the server does not hear of it
			}
		case c.b == nil:
			dst.CloseWrite() //nolint:errcheck // the other side may be gone already
			return
		default:
			if _, err := dst.Write(c.b); err != nil {
				return
			}
		}
	}
}
