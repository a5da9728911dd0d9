package sidecar

import (
	"net"
	"time"
)

// timedConn sets a connection's deadlines: for the wait for a request, for the rest of a request of which a part has come, and for
// each write. fasthttp would set three for each request, and would count the first request's time from the connection's
// beginning, though a client may keep a connection for later.
//
// A request that comes in one read needs no deadline of its own. The deadlines of waits and writes are moved only when an eighth
// of their time is over, so a wait or a write may end that much early.
//
// Only the goroutine that serves the connection uses these methods.
type timedConn struct {
	net.Conn
	idle    time.Duration // how long to wait for a request
	request time.Duration // how long a request may take to come, and a write to leave

	last    time.Time // when the connection was accepted, or the last request was answered
	begun   bool      // bytes of a request have come that is not answered yet
	limited bool      // readBy is the deadline of that request, not of a wait
	readBy  time.Time
	writeBy time.Time
}

func (c *timedConn) Read(b []byte) (int, error) {
	switch {
	case !c.begun && c.readBy.Sub(c.last) < c.idle-c.idle/8:
		if err := c.setReadBy(c.last.Add(c.idle)); err != nil {
			return 0, err
		}
	case c.begun && !c.limited:
		if err := c.SetReadDeadline(time.Now().Add(c.request)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// begins says that bytes of a request have come, now or together with the request before.
func (c *timedConn) begins() { c.begun = true }

// SetReadDeadline limits the rest of the request.
func (c *timedConn) SetReadDeadline(t time.Time) error {
	c.limited = true
	return c.setReadBy(t)
}

func (c *timedConn) setReadBy(t time.Time) error {
	c.readBy = t
	return c.Conn.SetReadDeadline(t)
}

// answered says that the request is answered now: the answer is written next, and what is read next is another request.
func (c *timedConn) answered(now time.Time) {
	if c.limited {
		c.readBy = time.Time{} // that was the request's: the next Read sets one for the wait
	}
	c.last, c.begun, c.limited = now, false, false
}

func (c *timedConn) Write(b []byte) (int, error) {
	now := c.last
	if c.begun { // 100 Continue
		now = time.Now()
	}
	if c.writeBy.Sub(now) < c.request-c.request/8 {
		c.writeBy = now.Add(c.request)
		if err := c.SetWriteDeadline(c.writeBy); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}
