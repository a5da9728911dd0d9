package sidecar

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// timedConn is a connection with a slot. It sets its deadlines: for the wait for a request, for the rest of a request of which a part
// has come, and for each write. fasthttp would set three for each request, and would count the first request's time from the
// connection's beginning, though a client may keep a connection for later.
//
// A request that comes in one read needs no deadline of its own. The deadlines of waits and writes are moved only when an eighth
// of their time is over, so a wait or a write may end that much early.
//
// Only the goroutine that serves the connection uses these methods. Others may call standing, change, hasUnread and Close.
type timedConn struct {
	net.Conn
	slots   *slots
	idle    time.Duration // how long to wait for a request
	headers time.Duration // how long the headers may take to come, and a body before the token, unless the caller is admitted
	request time.Duration // how long a request may take to come, and a write to leave

	word     atomic.Uint64 // a standing
	place    int           // in slots.open
	admitted bool          // as in the standing; changed by slots.admit

	last      time.Time   // when the connection was accepted, or the last request was answered
	begun     bool        // bytes of a request have come that is not answered yet
	pipelined bool        // these bytes came together with the request before
	limited   bool        // readBy is the deadline of this request, not that of a wait
	bareLF    bool        // the first line of this request ends with LF alone
	lingers   atomic.Bool // the connection ends with this answer, and its caller may still be sending
	readBy    time.Time
	writeBy   time.Time

	onLeft atomic.Pointer[func(whole bool)] // called once the answers under way have left, or cannot leave; nil: nothing is called
}

func (c *timedConn) standing() standing { return standing(c.word.Load()) }

// change changes the standing, and says whether it could: an evicted connection stays so.
func (c *timedConn) change(to func(standing) standing) bool {
	for {
		now := c.standing()
		if now.phase() == evicted {
			return false
		}
		if c.word.CompareAndSwap(uint64(now), uint64(to(now))) {
			return true
		}
	}
}

// enter begins a phase, and says whether the connection still has its slot.
func (c *timedConn) enter(p phase) bool {
	now := c.standing()
	if now.phase() == evicted {
		return false
	}
	to := now.in(p)
	if p == waiting && c.admitted {
		to = (standingAt(c.last) | admittedBit).in(waiting)
	}
	return c.word.CompareAndSwap(uint64(now), uint64(to))
}

func (c *timedConn) Read(b []byte) (int, error) {
	if c.begun {
		if !c.limited {
			most := c.request
			if !c.admitted {
				most = c.headers
			}
			if err := c.SetReadDeadline(time.Now().Add(most)); err != nil {
				return 0, err
			}
		}
		return c.Conn.Read(b)
	}
	c.allLeft()
	if !c.enter(waiting) {
		return 0, net.ErrClosed
	}
	if c.readBy.Sub(c.last) < c.idle-c.idle/8 {
		if err := c.setReadBy(c.last.Add(c.idle)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(b)
	c.pipelined = false
	end := bytes.IndexByte(b[:n], '\n')
	c.bareLF = end == 0 || end > 0 && b[end-1] != '\r'
	return n, err
}

// begins says that bytes of a request have come, now or together with the request before.
func (c *timedConn) begins() {
	c.begun = true
	c.enter(reading)
}

// hasUnread says whether bytes have come that were not read yet.
func (c *timedConn) hasUnread() bool {
	n, err := c.peek()
	return n > 0 && err == nil
}

// callerLeft says whether the caller has closed its end, or the connection is broken.
func (c *timedConn) callerLeft() bool {
	n, err := c.peek()
	return n <= 0 && !errors.Is(err, syscall.EAGAIN)
}

// peek says whether the next read would bring a byte now. n is 0 without an error if the caller has closed its end.
func (c *timedConn) peek() (n int, err error) {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return 0, syscall.EAGAIN
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := raw.Control(func(fd uintptr) { n, err = peekAt(fd) })
	return n, cmp.Or(err, failed)
}

func peekAt(fd uintptr) (n int, err error) {
	n, _, err = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT) //nolint:gosec // a descriptor is an int
	return n, err
}

// watchFrom is how long a read waits before its caller is watched. Most reads are answered sooner, even behind a queue, and so need no goroutine
// that watches.
const watchFrom = 250 * time.Millisecond

// watchLater begins to watch after watchFrom. stop must be called before the next Read.
func (c *timedConn) watchLater(left func()) (stop func()) {
	watched := make(chan func(), 1)
	timer := time.AfterFunc(watchFrom, func() { watched <- c.watch(left) })
	return func() {
		if !timer.Stop() {
			(<-watched)()
		}
	}
}

// watch calls left once the caller closes its end, or the connection breaks. It watches until the caller sends more or stop is called. stop
// must be called before the next Read.
func (c *timedConn) watch(left func()) (stop func()) {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return func() {}
	}
	raw, err := sc.SyscallConn()
	if err != nil || c.Conn.SetReadDeadline(time.Time{}) != nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		gone := false
		err := raw.Read(func(fd uintptr) bool {
			n, err := peekAt(fd)
			gone = n <= 0
			return !errors.Is(err, syscall.EAGAIN)
		})
		if gone && !errors.Is(err, os.ErrDeadlineExceeded) { // else stop was called
			left()
		}
	}()
	return func() {
		_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // it ends raw.Read
		<-done
		_ = c.Conn.SetReadDeadline(c.readBy)
	}
}

// whenLeft calls f once the next answer has left whole, or cannot leave whole: because the caller has gone before the answer is sent, or
// closes its end before it has read all of it.
func (c *timedConn) whenLeft(f func(whole bool)) {
	if c.callerLeft() {
		f(false)
		return
	}
	if before := c.onLeft.Load(); before != nil { // of another call of a batch, or of a pipelined request
		last := f
		f = func(whole bool) { (*before)(whole); last(whole) }
	}
	c.onLeft.Store(&f)
}

// allLeft is called when fasthttp waits for the next request or closes the connection: by then it has written every answer.
func (c *timedConn) allLeft() {
	if c.onLeft.Load() != nil {
		_, err := c.peek()
		c.answersLeft(err == nil || errors.Is(err, syscall.EAGAIN))
	}
}

func (c *timedConn) answersLeft(whole bool) {
	if f := c.onLeft.Swap(nil); f != nil {
		(*f)(whole)
	}
}

// Close gives up the slot too.
func (c *timedConn) Close() error {
	c.allLeft()
	if c.lingers.Load() {
		c.linger()
	}
	c.slots.remove(c)
	return c.Conn.Close()
}

// linger tells the caller that the answer was the last, and reads what the caller still sends.
func (c *timedConn) linger() {
	c.enter(reading) // its slot may be taken
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite() // after an error the caller sees the end a moment later
	}
	if err := c.Conn.SetReadDeadline(time.Now().Add(drainPatience)); err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, maxDrained))
	}
}

// admit admits the caller, and says whether it could. The rest of the request then has the longer time of an admitted caller.
func (c *timedConn) admit() bool {
	if c.limited {
		c.limited, c.readBy = false, time.Time{}
	}
	return c.slots.admit(c)
}

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
	c.last, c.begun, c.limited, c.bareLF, c.pipelined = now, false, false, false, true // unless Read is called for the next one
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
	n, err := c.Conn.Write(b)
	if err != nil {
		c.answersLeft(false)
	}
	return n, err
}
