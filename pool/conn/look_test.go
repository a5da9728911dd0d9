package conn

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// found is a socket of which the kernel says what a test wants.
type found struct {
	quiet

	sign Sign
}

func (f found) Sign(time.Duration) Sign { return f.sign }

func TestWhatWasSilentSinceAConnectionDiedIsInDoubt(t *testing.T) {
	d := dialer{capacity: 1}
	c := d.conns(t, Config{Size: 5})
	dead, older, later := take(t, c, Need{}), take(t, c, Need{}), take(t, c, Need{})
	for _, l := range []*Lease{dead, older, later} {
		l.answer()
	}
	again := take(t, c, Need{}) // the one used last
	_ = take(t, c, Need{})
	busy := take(t, c, Need{})
	again.answer() // it has answered since
	busy.conn.Socket = found{sign: Dead}
	fresh := take(t, c, Need{After: c.Newest()})
	busy.Look(time.Second, nil)
	select {
	case <-busy.Dead():
	default:
		t.Fatal("it is not found dead")
	}
	busy.Look(time.Second, nil) // once more tells nothing new
	if n := c.FoundDead(); n != 1 {
		t.Errorf("%d connections were found dead", n)
	}
	fresh.answer()
	for want := range 2 { // what was heard since is proven, and is used first
		if l := take(t, c, Need{}); !l.Proven {
			t.Errorf("connection %d is in doubt", want)
		}
	}
	wantCounts(t, c, 3, 0)
	busy.answer()
	wantCounts(t, c, 3, 0)
}

func TestAConnectionIsPingedOnlyIfItHasAnswered(t *testing.T) {
	for _, tc := range []struct {
		name             string
		capacity         int
		answered, pinged bool
		sign             Sign
		pong, dead       bool
	}{
		{"HTTP/1.1", 1, true, false, Unknown, false, false},
		{"HTTP/2", 9, true, true, Unknown, false, true},
		{"HTTP/2 that answers the ping", 9, true, true, Unknown, true, false},
		{"HTTP/2 of which the kernel has heard", 9, true, false, Alive, false, false},
		{"HTTP/2 of which the kernel knows", 9, true, false, Dead, false, true},
		{"HTTP/2 without an answer so far", 9, false, false, Unknown, false, false},
	} {
		d := dialer{capacity: tc.capacity}
		c := d.conns(t, Config{Shared: tc.capacity > 1})
		if tc.answered {
			take(t, c, Need{}).answer()
		}
		l := take(t, c, Need{})
		l.conn.Socket = found{sign: tc.sign}
		pinged := false
		l.Look(time.Second, func(http.RoundTripper) bool { pinged = true; return tc.pong })
		if dead := c.FoundDead() > 0; pinged != tc.pinged || dead != tc.dead {
			t.Errorf("%s: pinged %v, dead %v", tc.name, pinged, dead)
		}
		l.answer()
	}
}

// So many requests need several connections where the server allows 100 or 128 streams on each. The next ones find them open.
func TestManyRequestsAtOnceGetAsManyConnectionsAsTheyNeed(t *testing.T) {
	for capacity, want := range map[int]int{100: 3, 128: 2, 1000: 1} {
		d := dialer{capacity: capacity}
		c := d.conns(t, Config{Shared: true, Size: 256})
		for range 3 {
			var leases []*Lease
			for range 256 {
				leases = append(leases, take(t, c, Need{}))
			}
			if n := d.dials.Load(); n != int64(want) {
				t.Errorf("%d streams each: %d dials, want %d", capacity, n, want)
			}
			for _, l := range leases {
				l.answer()
			}
			wantCounts(t, c, want, want)
		}
	}
}

// A request that is sent again over another connection needs no second one.
func TestOfHTTP2NoMoreConnectionsAreKeptThanRequestsNeed(t *testing.T) {
	d := dialer{capacity: 100}
	c := d.conns(t, Config{Shared: true, Size: 256})
	first := take(t, c, Need{})
	again := take(t, c, Need{After: c.Newest()})
	first.answer()
	again.answer()
	wantCounts(t, c, 1, 1)
}

// BenchmarkTake is one request's share of the book's work, beside so many others that have their connections.
func BenchmarkTake(b *testing.B) {
	for name, tc := range map[string]struct{ capacity, busy, idle int }{
		"alone": {1, 0, 1}, "HTTP1/256": {1, 255, 1}, "HTTP1/idle256": {1, 0, 256}, "HTTP2/256": {1000, 255, 0},
	} {
		b.Run(name, func(b *testing.B) {
			c := New(b.Context(), Config{Size: 300, MaxIdle: time.Minute, Dial: func(context.Context) (*Conn, error) {
				return &Conn{Link: &fakeLink{capacity: tc.capacity}, Socket: quiet{}}, nil
			}})
			defer c.Close()
			var idle []*Lease
			for i := range tc.busy + tc.idle {
				l, err := c.Take(b.Context(), Need{})
				if err != nil {
					b.Fatal(err)
				}
				if i >= tc.busy {
					idle = append(idle, l)
				}
			}
			for _, l := range idle {
				l.answer()
			}
			b.ReportAllocs()
			for b.Loop() {
				l, err := c.Take(b.Context(), Need{})
				if err != nil {
					b.Fatal(err)
				}
				l.answer()
			}
		})
	}
}
