package conn

import (
	"net/http"
	"time"
)

// Look finds out whether the connection is dead. age is how long its request has had no answer. A dead connection is given up, and
// [Lease.Dead] is closed. Requests that look at the same time share one look.
//
// First the kernel is asked. If the kernel does not know, an HTTP/2 connection is pinged: ping sends a cheap request over the connection
// and says whether an answer came in time. A connection that has not brought any answer yet is not pinged: if the upstream itself is
// silent, each new connection would look dead, and all requests would be sent again and again. A nil ping means that the upstream
// cannot be pinged.
func (l *Lease) Look(age time.Duration, ping func(http.RoundTripper) bool) {
	_, _, _ = l.conn.looks.Do("", func() (any, error) {
		sign := l.conn.Sign(age)
		if sign == Unknown && ping != nil && l.conn.shared && l.conn.answered.Load() && l.conn.Available() > 0 && !ping(l.conn) {
			sign = Dead
		}
		if sign == Dead {
			l.giveUp()
		}
		return nil, nil
	})
}

// Dead is closed when the connection was found dead.
func (l *Lease) Dead() <-chan struct{} { return l.conn.dead }

// RoundTripOnce sends a request that must not arrive after its time is over, because a later request may say the opposite. On HTTP/1.1
// net/http closes the connection when the request ends without an answer. Then the kernel throws away what is not delivered yet.
func (l *Lease) RoundTripOnce(req *http.Request) (*http.Response, error) {
	if l.conn.shared {
		return l.RoundTrip(req)
	}
	l.conn.DropUnsent(true)
	resp, err := l.RoundTrip(req)
	if err == nil {
		l.conn.DropUnsent(false)
	}
	return resp, err
}

// Abort breaks the connection, so that nothing that was sent over it arrives later. Other requests on it fail.
func (l *Lease) Abort() {
	l.conn.Abort()
	_ = l.conn.Close() // it is broken already
}

// giveUp tells the book, once, that the connection was found dead.
func (l *Lease) giveUp() {
	l.conns.happen(func(s sight) todo {
		select {
		case <-l.conn.dead:
			return todo{}
		default:
		}
		close(l.conn.dead)
		l.conns.found++
		return l.conns.book.died(s, l.hand)
	})
}

// FoundDead is how many connections were found dead.
func (c *Conns) FoundDead() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.found
}
