package conn

import (
	"net"
	"runtime"
	"sync"
)

// gathering is a connection that gathers what is written in short order, and passes it on as one write. net/http writes the header and
// the body of an HTTP/2 request separately, so each request would be two system calls and two packets, and while many callers ask at the same
// time the processors are busy with those.
//
// A write returns before the kernel has the bytes. If the kernel refuses them, the connection is closed: the reader learns of that, and
// later writes return the error.
type gathering struct {
	net.Conn

	mu      sync.Mutex
	passed  sync.Cond // signalled when bytes were passed on
	waiting []byte    // guarded by mu; to be passed on
	spare   []byte    // guarded by mu; what waiting used before
	passing bool      // guarded by mu; pass runs
	err     error     // guarded by mu; why nothing can be passed on
}

// mostGathered is how many bytes may wait. Then writes wait too.
const mostGathered = 64 << 10

func gather(c net.Conn) net.Conn {
	g := &gathering{Conn: c}
	g.passed.L = &g.mu
	return g
}

func (g *gathering) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) >= mostGathered && g.err == nil {
		g.passed.Wait()
	}
	if g.err != nil {
		return 0, g.err
	}
	g.waiting = append(g.waiting, p...)
	if !g.passing {
		g.passing = true
		go g.pass()
	}
	return len(p), nil
}

// pass passes on what waits. Before that it lets the goroutines run that are ready: they may have more to write.
func (g *gathering) pass() {
	runtime.Gosched()
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) > 0 && g.err == nil {
		out := g.waiting
		g.waiting = g.spare[:0]
		g.mu.Unlock()
		_, err := g.Conn.Write(out)
		g.mu.Lock()
		g.spare, g.err = out, err
		g.passed.Broadcast()
	}
	if g.err != nil {
		_ = g.Conn.Close()
	}
	g.passing = false
	g.passed.Broadcast()
}

// Close closes the connection and returns when nothing is passed on any more. What still waits is lost, TLS's farewell for instance: for
// HTTP/2 that is no loss, since its frames say where they end.
func (g *gathering) Close() error {
	err := g.Conn.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.passing {
		g.passed.Wait()
	}
	return err
}
