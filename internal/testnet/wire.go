package testnet

import (
	"net"
	"sync"
	"time"
)

// wire is a TCP proxy in which every byte is on its way for rtt/2. The kernel answers a loopback connect at once, so
// the round trip that a far connect takes is charged to the first bytes the client sends: they count as sent one
// rtt after the accept. A new TLS 1.3 connection with one request thus costs 3 rtt, a kept one 1 rtt.
type wire struct {
	front  net.Listener
	target string
	rtt    time.Duration
	stop   chan struct{} // closed by close
	wg     sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{} // guarded by mu
	closed bool                  // guarded by mu
}

// chunk is what one Read brought, to be written at due. A nil b is the end of the stream.
type chunk struct {
	b   []byte
	due time.Time
}

// queued bounds the chunks of one direction that are on their way: at 32 KiB each it is far above what any test
// sends within one round trip.
const queued = 4096

func newWire(front net.Listener, target string, rtt time.Duration) *wire {
	w := &wire{front: front, target: target, rtt: rtt, stop: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	w.wg.Go(w.accept)
	return w
}

func (w *wire) close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.stop)
		w.front.Close()
		for c := range w.conns {
			c.Close()
		}
	}
	w.mu.Unlock()
	w.wg.Wait()
}

func (w *wire) accept() {
	for {
		client, err := w.front.Accept()
		if err != nil {
			return
		}
		accepted := time.Now()
		w.wg.Go(func() { w.join(client.(*net.TCPConn), accepted) })
	}
}

func (w *wire) join(client *net.TCPConn, accepted time.Time) {
	defer client.Close()
	c, err := net.Dial("tcp", w.target) //nolint:noctx // loopback: answers at once
	if err != nil {
		return
	}
	server := c.(*net.TCPConn)
	defer server.Close()
	if !w.hold(client, server) {
		return
	}
	defer w.release(client, server)

	var both sync.WaitGroup
	both.Go(func() { w.carry(server, client, accepted.Add(w.rtt)) })
	both.Go(func() { w.carry(client, server, accepted) })
	both.Wait()
}

func (w *wire) hold(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	for _, c := range conns {
		w.conns[c] = struct{}{}
	}
	return true
}

func (w *wire) release(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		delete(w.conns, c)
	}
}

// carry copies src to dst with the delay; nothing counts as sent before earliest. It ends with src's end, which it
// passes on as a half-close, or at once when either side breaks.
func (w *wire) carry(dst, src *net.TCPConn, earliest time.Time) {
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
			due := at.Add(w.rtt / 2)
			if n > 0 {
				select {
				case q <- chunk{append([]byte(nil), buf[:n]...), due}:
				case <-gone:
					return
				}
			}
			if err != nil {
				select {
				case q <- chunk{nil, due}:
				case <-gone:
				}
				return
			}
		}
	})
	w.deliver(dst, q)
	close(gone)
	if w.stopping() {
		src.Close()
	} else {
		src.CloseRead() //nolint:errcheck // it may be closed already
	}
	read.Wait()
}

func (w *wire) deliver(dst *net.TCPConn, q <-chan chunk) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for c := range q {
		if d := time.Until(c.due); d > 0 {
			timer.Reset(d)
			select {
			case <-timer.C:
			case <-w.stop:
				return
			}
		}
		if c.b == nil {
			dst.CloseWrite() //nolint:errcheck // the other side may be gone already
			return
		}
		if _, err := dst.Write(c.b); err != nil {
			return
		}
	}
}

func (w *wire) stopping() bool {
	select {
	case <-w.stop:
		return true
	default:
		return false
	}
}
