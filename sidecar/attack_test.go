package sidecar

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/client/wire"
)

// door is a running server under attack, on one listener. Its call /v1/wait answers when the test says so.
type door struct {
	*testing.T
	*Server
	l       net.Listener
	token   string        // the header line
	came    chan struct{} // a call of /v1/wait has come
	release chan struct{} // lets one go on
}

func newDoor(t *testing.T, network string, cfg Config) *door {
	t.Helper()
	d := &door{T: t, Server: newServer(t, cfg), came: make(chan struct{}, 10), release: make(chan struct{})}
	if cfg.Token != "" {
		d.token = wire.HeaderToken + ": " + cfg.Token + "\r\n"
	}
	d.router.plain["/v1/wait"] = []route{{method: http.MethodGet, path: "/v1/wait", handle: func(_ *Server, r *request) error {
		d.came <- struct{}{}
		<-d.release
		return r.sendJSON(http.StatusOK, "waited")
	}}}
	if network == "tcp" {
		d.l = listenerFor(t)
	} else {
		var err error
		if d.l, err = ListenSocket(t.Context(), filepath.Join(t.TempDir(), "s")); err != nil {
			t.Fatal(err)
		}
	}
	end := d.running(t, d.l)
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// open opens a connection, and sends something over it.
func (d *door) open(sends string) net.Conn {
	d.Helper()
	c, err := net.Dial(d.l.Addr().Network(), d.l.Addr().String())
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { _ = c.Close() })
	_, _ = io.WriteString(c, sends)
	return c
}

func (d *door) get(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + d.token + "\r\n"
}

// asked sends a request over a connection, and returns the status of the answer.
func (d *door) asked(c net.Conn, request string) (int, error) {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// unaffected asks n times over new connections and over a kept one, and fails the test unless every answer is right. A caller asks
// again over another new connection, at most so many times, if there were too many others.
func (d *door) unaffected(name string, n, again int) {
	d.Helper()
	var kept net.Conn
	for range again + 1 {
		kept = d.open("")
		if status, err := d.asked(kept, d.get("/debug/cache")); err == nil && status == http.StatusOK {
			break
		}
	}
	took := map[string][]time.Duration{}
	repeated := 0
	for range n {
		for _, way := range []string{"/healthz", "/debug/cache", "kept"} {
			begun := time.Now()
			status, err := 0, error(nil)
			if way == "kept" {
				status, err = d.asked(kept, d.get("/debug/cache"))
			} else {
				for tries := 0; status == 0 && tries <= again; tries++ {
					c := d.open("")
					status, err = d.asked(c, d.get(way))
					_ = c.Close()
					repeated += min(tries, 1)
				}
			}
			took[way] = append(took[way], time.Since(begun))
			if status != http.StatusOK {
				d.Fatalf("%s: %s is answered %d, %v", name, way, status, err)
			}
		}
	}
	line := fmt.Sprintf("%s over %s, %d calls each, %d repeated:", name, d.l.Addr().Network(), n, repeated)
	for _, way := range []string{"/healthz", "/debug/cache", "kept"} {
		slices.Sort(took[way])
		line += fmt.Sprintf(" %s p50 %v p99 %v;", way, took[way][n/2].Round(time.Microsecond), took[way][n*99/100].Round(time.Microsecond))
	}
	d.Log(line)
}

func TestSilentAndHalfSentConnectionsKeepNobodyOut(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for _, token := range []string{"s3cret", ""} {
			for _, n := range []int{0, 300, 1000} {
				d := newDoor(t, network, Config{Token: token})
				for range n {
					d.open("")
					d.open("GET /debug/cache HTTP/1.1\r\nHost: local")
				}
				d.unaffected(fmt.Sprintf("token %t, %d silent and %d half-sent connections", token != "", n, n), 100, 0)
			}
		}
	}
}

func TestFloodsKeepNobodyOut(t *testing.T) {
	refused := "GET /debug/cache HTTP/1.1\r\nHost: localhost\r\nX-Hearth-Token: wrong\r\n\r\n"
	for name, flood := range map[string]struct {
		sends string
		reads bool
	}{
		"calls with a wrong token":               {refused, true},
		"pipelined calls with a wrong token":     {strings.Repeat(refused, 200), true},
		"pipelined /healthz":                     {strings.Repeat(healthy, 200), true},
		"pipelined /healthz, no answer is read":  {strings.Repeat(healthy, 2000), false},
		"huge headers":                           {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: "+strings.Repeat("x", 4000)+"\r\n", 10) + "\r\n", true},
		"other hosts with a body that is longer": {"POST /v1/preprocess HTTP/1.1\r\nHost: evil\r\nContent-Length: 9999999\r\n\r\n" + strings.Repeat("x", 9999), true},
		"half-closed":                            {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t, "tcp", Config{Token: "s3cret", Connections: 32})
			var callers sync.WaitGroup
			defer callers.Wait()
			stop := make(chan struct{})
			defer close(stop)
			for range 60 {
				callers.Go(func() {
					for d.attack(flood.sends, flood.reads, stop) {
					}
				})
			}
			d.unaffected("60 callers at once for 40 slots", 10, 50)
		})
	}
}

// attack opens a connection, keeps it for 200 ms, and says whether the attack goes on.
func (d *door) attack(sends string, reads bool, stop <-chan struct{}) bool {
	c, err := net.Dial("tcp", d.l.Addr().String())
	if err != nil {
		d.Error(err)
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(200 * time.Millisecond))
	_, _ = io.WriteString(c, sends)
	if sends == "" {
		_ = c.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert // dialed above
	}
	if reads {
		_, _ = io.Copy(io.Discard, c)
	}
	select {
	case <-stop:
		return false
	case <-time.After(time.Duration(rand.IntN(20)) * time.Millisecond):
		return true
	}
}

func TestARequestThatComesInDripsIsGivenUp(t *testing.T) {
	large := strings.Repeat(" ", 20000)
	for name, c := range map[string]struct {
		sends   string
		drips   string // again and again
		status  string // of the answer; empty: the connection is closed without one
		atLeast time.Duration
	}{
		"a request line":           {"GET /heal", "z", "408", 0},
		"headers":                  {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "X: y\r\n", "408", 0},
		"headers with the token":   {"GET /debug/cache HTTP/1.1\r\nHost: localhost\r\nX-Hearth-Token: s3cret\r\n", "X: y\r\n", "408", 0},
		"a short body":             {"POST /v1/preprocess HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", "{", "401", 0},
		"a body without the token": {"POST /v1/preprocess HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n" + large, "{", "401", 0},
		"a body of /healthz":       {"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n" + large, "{", "405", 0},
		"a body": {
			"POST /v1/preprocess HTTP/1.1\r\nHost: localhost\r\nX-Hearth-Token: s3cret\r\nContent-Length: 90000\r\n\r\n" + large, "{",
			"408", 800 * time.Millisecond,
		},
		"chunks": {
			"POST /v1/preprocess HTTP/1.1\r\nHost: localhost\r\nX-Hearth-Token: s3cret\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n{\r\n",
			"408", 800 * time.Millisecond,
		},
	} {
		s := newServer(t, Config{Token: "s3cret"})
		s.headerTimeout, s.readTimeout = 200*time.Millisecond, 800*time.Millisecond
		l := listenerFor(t)
		end := s.running(t, l)
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		fmt.Fprint(conn, c.sends)
		go func() {
			for {
				time.Sleep(20 * time.Millisecond)
				if _, err := io.WriteString(conn, c.drips); err != nil {
					return
				}
			}
		}()
		_ = conn.SetReadDeadline(begun.Add(20 * time.Second))
		answer, err := io.ReadAll(conn)
		if took := time.Since(begun); errors.Is(err, os.ErrDeadlineExceeded) || took < c.atLeast {
			t.Errorf("%s: it took %v, %v", name, took, err)
		}
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 "+c.status)) || bytes.Count(answer, []byte("HTTP/1.1 ")) != 1 {
			t.Errorf("%s: the answer is %q", name, answer)
		}
		_ = conn.Close()
		if err := end(); err != nil {
			t.Error(err)
		}
	}
}

func TestAnAnswerThatIsNotReadIsGivenUp(t *testing.T) {
	s := newServer(t, Config{})
	s.readTimeout = 300 * time.Millisecond
	large := `"` + strings.Repeat("x", 32<<20) + `"`
	s.router.plain["/v1/large"] = []route{{method: http.MethodGet, path: "/v1/large", handle: func(_ *Server, r *request) error {
		r.sendBody(http.StatusOK, []byte(large))
		return nil
	}}}
	d := &door{T: t, Server: s, l: listenerFor(t)}
	end := s.running(t, d.l)
	c := d.open(d.get("/v1/large"))
	for d.isServing(c) {
		time.Sleep(10 * time.Millisecond)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// isServing says whether a server in this process still has the other end of a connection open: then it does not refuse what is sent.
func (d *door) isServing(c net.Conn) bool {
	_, err := io.WriteString(c, "x")
	return err == nil
}

func TestAsManyCallersAreServedAsMayBeAndTheOthersAreToldSo(t *testing.T) {
	for _, token := range []string{"s3cret", ""} {
		d := newDoor(t, "tcp", Config{Token: token, Connections: 2})
		first, second := d.open(d.get("/v1/wait")), d.open(d.get("/v1/wait"))
		<-d.came
		<-d.came
		third := d.open(d.get("/debug/cache"))
		resp, err := http.ReadResponse(bufio.NewReader(third), nil)
		if err != nil {
			t.Fatal(err)
		}
		var p wire.Problem
		if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != 503 || p.Kind() != wire.KindOverloaded || !p.Retryable ||
			resp.Header.Get("Content-Type") != "application/problem+json" || resp.Header.Get("Retry-After") != "1" || !resp.Close {
			t.Errorf("one too many is answered %s %+v %v, %v", resp.Status, p, resp.Header, err)
		}
		_ = resp.Body.Close()
		if status, err := d.asked(d.open(""), healthy); status != http.StatusOK {
			t.Errorf("/healthz is answered %d, %v", status, err)
		}
		d.release <- struct{}{}
		d.release <- struct{}{}
		for _, c := range []net.Conn{first, second} {
			if status, err := d.asked(c, ""); status != http.StatusOK {
				t.Errorf("a call under way is answered %d, %v", status, err)
			}
		}
	}
}

// slot gives a connection of a pipe a slot, and brings it into a phase.
func (s *slots) slot(t *testing.T, accepted time.Time, admitted bool, p phase) *timedConn {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { _ = there.Close() })
	c := &timedConn{Conn: here, slots: s, last: accepted}
	c.word.Store(uint64(standingAt(accepted)))
	if wait := s.add(c); wait > 0 {
		t.Fatalf("it must wait %v", wait)
	}
	if admitted && (!c.enter(answering) || !c.admit()) {
		t.Fatal("it is not admitted")
	}
	if !c.enter(p) {
		t.Fatal("it is evicted")
	}
	return c
}

func TestWhoLosesASlot(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, equal := range []bool{false, true} {
		s := newSlots(2, equal, slog.New(slog.DiscardHandler))
		s.most = 6
		busy := s.slot(t, ago(time.Hour), true, reading)
		idle := s.slot(t, ago(time.Minute), true, waiting)
		silent := s.slot(t, ago(2*time.Second), false, waiting)
		half := s.slot(t, ago(5*time.Second), false, reading)
		stuck := s.slot(t, ago(3*time.Second), false, answering)
		young := s.slot(t, ago(50*time.Millisecond), false, reading)
		all := map[string]*timedConn{"busy": busy, "idle": idle, "silent": silent, "half": half, "stuck": stuck, "young": young}
		for _, want := range []string{"half", "stuck", "silent"} { // the oldest first
			s.slot(t, time.Now(), false, answering)
			if all[want].standing().phase() != evicted || len(s.open) != 6 {
				t.Errorf("%s has kept its slot, %d connections are open", want, len(s.open))
			}
			delete(all, want)
			for name, c := range all {
				if c.standing().phase() == evicted {
					t.Fatalf("%s has lost its slot before %s", name, want)
				}
			}
		}
		c := &timedConn{Conn: silent.Conn, slots: s}
		if wait := s.add(c); wait == 0 {
			t.Error("most connections are answered just now, and a new one does not wait for one of them to end")
		}
		// Two callers are admitted, and one of them waits for its next request.
		next := s.open[len(s.open)-1]
		if !next.admit() {
			t.Error("a third caller is not admitted, although one of two is idle")
		}
		lost := idle
		if equal { // it has sent half a request, and is older
			lost = busy
		}
		if lost.standing().phase() != evicted || s.admitted != 2 {
			t.Errorf("equal %t: the wrong caller has lost its place, and %d are admitted", equal, s.admitted)
		}
		for _, c := range []*timedConn{silent, half} {
			if c.enter(answering) || c.change(func(now standing) standing { return now }) {
				t.Error("an evicted connection goes on")
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("an evicted connection reads: %v", err)
			}
			_ = c.Close() // its slot is another's
		}
		if len(s.open) != 5 {
			t.Errorf("%d connections are open, want 5", len(s.open))
		}
	}
}
