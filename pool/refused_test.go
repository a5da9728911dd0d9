package pool

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/internal/testing/testnet"
	"hearth/pool/conn"
)

// Frames of HTTP/2 and what is in them: RFC 9113, sections 6 and 7.
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway = 0, 1, 3, 4, 7

	flagEnd, flagEndHeaders, flagAck = 1, 4, 1

	codeNone, codeInternal, codeRefused, codeCancel, codeCalm = 0, 2, 7, 8, 11
)

// h2Wire is the server's end of an HTTP/2 connection, frame by frame: net/http's own server cannot be told to refuse.
type h2Wire struct {
	t *testing.T
	net.Conn
	arrived []uint32      // streams of requests that came, in their order
	acked   chan struct{} // an element for each SETTINGS that the client has taken note of; it has room for some
}

func (w *h2Wire) send(kind, flags byte, stream uint32, payload ...byte) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	frame = binary.BigEndian.AppendUint32(append(frame, flags), stream)
	if _, err := w.Write(append(frame, payload...)); err != nil {
		w.t.Logf("the client hung up: %v", err)
	}
}

func (w *h2Wire) reset(stream, code uint32) {
	w.send(frameReset, 0, stream, binary.BigEndian.AppendUint32(nil, code)...)
}

// goAway says which stream was the last that the server looked at.
func (w *h2Wire) goAway(last, code uint32) {
	w.send(frameGoAway, 0, 0, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, last), code)...)
}

// allow says how many streams the client may open at once.
func (w *h2Wire) allow(streams byte) {
	const maxConcurrentStreams = 3
	w.send(frameSettings, 0, 0, 0, maxConcurrentStreams, 0, 0, 0, streams)
}

// answer answers with a 200 without a body.
func (w *h2Wire) answer(stream uint32) {
	const status200 = 0x88 // of HPACK's static table
	w.send(frameHeaders, flagEnd|flagEndHeaders, stream, status200)
}

// request reads until a request has come whole and returns its stream, or 0 at the connection's end.
func (w *h2Wire) request() uint32 {
	for {
		var head [9]byte
		if _, err := io.ReadFull(w, head[:]); err != nil {
			return 0
		}
		size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, w, size); err != nil {
			return 0
		}
		kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:])
		switch {
		case kind == frameSettings && flags&flagAck == 0:
			w.send(frameSettings, flagAck, 0)
		case kind == frameSettings:
			w.acked <- struct{}{}
		case (kind == frameData || kind == frameHeaders) && flags&flagEnd != 0:
			w.arrived = append(w.arrived, stream)
			return stream
		}
	}
}

// startWire makes a pool before a server of which each connection, numbered from 0, is serve's. When it returns the
// connection is closed.
func startWire(t *testing.T, serve func(w *h2Wire, number int)) *tester {
	t.Helper()
	ready := httptest.NewUnstartedServer(nil) // for its certificate
	ready.StartTLS()
	certificates, root := ready.TLS.Certificates, ready.Certificate()
	ready.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certificates, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for number := 0; ; number++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				if _, err := io.CopyN(io.Discard, c, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
					return
				}
				w := &h2Wire{t: t, Conn: c, acked: make(chan struct{}, 10)}
				w.send(frameSettings, 0, 0)
				serve(w, number)
			})
		}
	})
	roots := x509.NewCertPool()
	roots.AddCert(root)
	p := newPool(t, Config{Name: "upstream", URL: "https://" + l.Addr().String(), RootCAs: func() *x509.CertPool { return roots }})
	t.Cleanup(func() {
		p.Close()
		l.Close()
		running.Wait()
	})
	return &tester{T: t, pool: p}
}

// answerAll answers what comes until the client hangs up.
func answerAll(w *h2Wire) {
	for stream := w.request(); stream != 0; stream = w.request() {
		w.answer(stream)
	}
}

func TestAWriteThatTheUpstreamRefusedIsSentAgain(t *testing.T) {
	for name, refuse := range map[string]func(w *h2Wire){
		"by the stream":                      func(w *h2Wire) { w.reset(w.request(), codeRefused); answerAll(w) },
		"by the connection":                  func(w *h2Wire) { w.request(); w.goAway(0, codeNone); answerAll(w) },
		"by the connection, with a reason":   func(w *h2Wire) { w.request(); w.goAway(0, codeCalm); answerAll(w) },
		"by the connection, which then ends": func(w *h2Wire) { w.request(); w.goAway(0, codeNone) },
		"by a connection in use": func(w *h2Wire) {
			w.answer(w.request())
			w.request()
			w.goAway(1, codeNone)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startWire(t, func(w *h2Wire, number int) {
				if number == 0 {
					refuse(w)
					return
				}
				answerAll(w)
			})
			for range 3 {
				s.want(http.StatusOK, write())
			}
		})
	}
}

// The client takes a hundred streams for granted until it is told otherwise.
func TestWritesBeyondTheOnlyStreamAreSentAgain(t *testing.T) {
	const writes = 4
	var mu sync.Mutex
	done := 0
	s := startWire(t, func(w *h2Wire, number int) {
		if number == 0 {
			w.answer(w.request())
			first := w.request()
			for range writes - 1 {
				w.request()
			}
			w.allow(1)
			for _, stream := range w.arrived[2:] {
				w.reset(stream, codeRefused)
			}
			mu.Lock()
			done++
			mu.Unlock()
			w.answer(first)
		}
		for stream := w.request(); stream != 0; stream = w.request() {
			mu.Lock()
			done++
			mu.Unlock()
			w.answer(stream)
		}
	})
	s.want(http.StatusOK, write()) // now all know that a connection carries several requests
	var all sync.WaitGroup
	for range writes {
		all.Go(func() { s.want(http.StatusOK, write()) })
	}
	all.Wait()
	if done != writes {
		t.Errorf("%d writes were done, want %d", done, writes)
	}
}

// The client gives a new connection to as many requests as it takes for granted. It must not matter that the server's word comes
// before the first of them begins.
func TestRequestsThatAServerAllowsFewerStreamsThanTheyExpectDoNotWaitForEachOther(t *testing.T) {
	const requests = 4
	know := make(chan struct{})
	s := startWire(t, func(w *h2Wire, number int) {
		if number == 0 {
			w.allow(1)
			go func() {
				<-w.acked // of the SETTINGS that every server begins with
				<-w.acked
				close(know)
			}()
		}
		answerAll(w)
	})
	var leases []*conn.Lease
	for range requests {
		l, err := s.pool.conns.Take(t.Context(), conn.Need{Proven: true})
		if err != nil {
			t.Fatal(err)
		}
		leases = append(leases, l)
	}
	<-know
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for _, l := range leases {
		all.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.pool.base, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := s.pool.race.next.(*sender).send(ctx, l, req); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestManyWritesOverConnectionsOfOneStreamAreAllDoneOnce(t *testing.T) {
	var mu sync.Mutex
	done := map[string]int{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusTeapot)
		}
		mu.Lock()
		defer mu.Unlock()
		done[string(body)]++
	}))
	server.EnableHTTP2 = true
	server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	proxy, err := testnet.NewProxy(server.Listener.Addr().String(), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	const writes = 12
	s := &tester{T: t, pool: newPool(t, Config{
		Name: "upstream", URL: "https://" + strings.Replace(proxy.Addr(), "localhost", "127.0.0.1", 1), Size: writes, RootCAs: func() *x509.CertPool { return roots },
	})}
	var all sync.WaitGroup
	for i := range writes {
		all.Go(func() { s.want(http.StatusOK, Request{Method: http.MethodPost, Path: "/", Body: fmt.Append(nil, i)}) })
	}
	all.Wait()
	for body, n := range done {
		if n != 1 {
			t.Errorf("%s was done %d times", body, n)
		}
	}
	if len(done) != writes {
		t.Errorf("%d writes were done, want %d", len(done), writes)
	}
}

func TestAWriteThatIsRefusedForEverWasNotSent(t *testing.T) {
	s := startWire(t, func(w *h2Wire, _ int) {
		for stream := w.request(); stream != 0; stream = w.request() {
			w.reset(stream, codeRefused)
		}
	})
	if err := s.fails(t.Context(), write()); err.Sent {
		t.Errorf("the error says that it may have been sent: %v", err)
	}
	if got := s.pool.Stats().Retries; got != 2 {
		t.Errorf("%d retries, want 2", got)
	}
}

func TestAWriteThatTheUpstreamMayHaveTakenIsNotSentAgain(t *testing.T) {
	for name, fail := range map[string]func(w *h2Wire){
		"the stream is cancelled":                     func(w *h2Wire) { w.reset(w.request(), codeCancel) },
		"the stream fails":                            func(w *h2Wire) { w.reset(w.request(), codeInternal) },
		"the connection ends":                         func(w *h2Wire) { w.request(); w.Close() },
		"the connection ends after taking the stream": func(w *h2Wire) { w.goAway(w.request(), codeNone); w.Close() },
		"the stream is refused after its answer began": func(w *h2Wire) {
			stream := w.request()
			w.send(frameHeaders, flagEndHeaders, stream, 0x88)
			w.send(frameData, 0, stream, 'x')
			w.reset(stream, codeRefused)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			arrived := 0
			s := startWire(t, func(w *h2Wire, _ int) {
				fail(w)
				w.request() // until the client hangs up
				mu.Lock()
				defer mu.Unlock()
				arrived += len(w.arrived)
			})
			if err := s.fails(t.Context(), write()); !err.Sent {
				t.Errorf("the error says that it was not sent: %v", err)
			}
			s.pool.Close()
			mu.Lock()
			defer mu.Unlock()
			if arrived > 1 {
				t.Errorf("it arrived %d times", arrived)
			}
		})
	}
}

// What net/http says of a connection that can take no request, in words alone.
func TestAConnectionThatTakesNoRequestHasRefusedIt(t *testing.T) {
	for name, before := range map[string]int{"a new one": 0, "one that was used": 1} {
		p := start(t, testnet.Config{TLS: true, HTTP2: true}, func(http.ResponseWriter, *http.Request) {}, nil)
		d, err := p.hook.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ask := func() error {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.server.URL, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := d.RoundTrip(req)
			if err == nil {
				err = resp.Body.Close()
			}
			return err
		}
		for range before {
			if err := ask(); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := ask(); !refused(err) {
			t.Errorf("%s, closed: %v does not count as refused", name, err)
		}
	}
}
