// Package testnet serves an http.Handler on a loopback port as if it were far away: with TLS from an authority made
// at start, and with a wire that takes half a round trip in each direction. Start at Serve. Knobs is what the
// stand-ins in weaviatetest and odootest share: request counts, a hook and a service time. Proxy is the wire alone,
// before any server, and its connections can be broken.
//
// It models delay, bandwidth and broken connections only: no loss, no slow start.
package testnet

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how a handler is served.
type Config struct {
	Addr  string        // where to listen; "127.0.0.1:0" if empty
	TLS   bool          // serve https with a certificate signed by Server.CA
	HTTP2 bool          // offer HTTP/2 beside HTTP/1.1, without TLS too (h2c with prior knowledge); otherwise HTTP/1.1 only
	RTT   time.Duration // what one round trip costs; 0 leaves the wire out

	Names   []string // that the certificate has besides localhost and its addresses
	Streams int      // requests at once on one HTTP/2 connection; 0: net/http's default
}

// Server is a handler being served. Close it.
type Server struct {
	URL  string // "https://127.0.0.1:4711"
	Addr string // "127.0.0.1:4711"
	CA   []byte // the authority's certificate as PEM; nil without TLS
	Wire *Proxy // between Addr and the handler; nil without RTT

	http         *http.Server
	done         chan struct{}
	certificates certificates
	bad          atomic.Pointer[tls.Config] // replaces the usual config while the certificate is bad; nil: it is good

	mu      sync.Mutex
	running int           // guarded by mu: handlers under way
	closing bool          // guarded by mu
	idle    chan struct{} // closed once closing is set and running is 0
}

// Serve starts serving h and returns once connections are accepted.
func Serve(h http.Handler, cfg Config) (*Server, error) {
	front, err := listenAt(cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: front.Addr().String(), done: make(chan struct{}), idle: make(chan struct{})}
	s.URL = "http://" + s.Addr
	s.http = &http.Server{
		Handler:           s.track(h),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that hang up are what tests are about
		Protocols:         new(http.Protocols),
	}
	s.http.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: cfg.Streams}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(cfg.HTTP2)
	s.http.Protocols.SetUnencryptedHTTP2(cfg.HTTP2 && !cfg.TLS)
	if cfg.TLS {
		if s.certificates, err = newCertificates(cfg.Names); err != nil {
			front.Close()
			return nil, err
		}
		s.CA, s.URL = s.certificates.ca, "https://"+s.Addr
		s.http.TLSConfig = &tls.Config{
			Certificates: []tls.Certificate{s.certificates.good}, MinVersion: tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.bad.Load(), nil },
		}
	}

	back := front
	if cfg.RTT > 0 {
		if back, err = listen("127.0.0.1:0"); err != nil {
			front.Close()
			return nil, err
		}
		s.Wire = newProxy(front, back.Addr().String(), cfg.RTT)
	}
	go func() {
		defer close(s.done)
		if cfg.TLS {
			_ = s.http.ServeTLS(back, "", "") // returns when Close is called
			return
		}
		_ = s.http.Serve(back)
	}()
	return s, nil
}

// Before returns a Server that is only a Wire in front of another server. It has no handler and no CA.
func Before(target string, rtt time.Duration) (*Server, error) {
	wire, err := NewProxy(target, rtt)
	if err != nil {
		return nil, err
	}
	return &Server{Addr: wire.Addr(), URL: "https://" + wire.Addr(), Wire: wire}, nil
}

// Certificate is what a server presents.
type Certificate int

// The certificates.
const (
	Good     Certificate = iota
	Expired              // since a day ago
	Stranger             // signed by an authority that is not [Server.CA]
)

// Present makes the server present a certificate in all handshakes from now on. Unless it is good, no session is resumed.
func (s *Server) Present(which Certificate) {
	cert := s.certificates.expired
	switch which {
	case Good:
		s.bad.Store(nil)
		return
	case Stranger:
		cert = s.certificates.stranger
	case Expired:
	}
	s.bad.Store(&tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true, NextProtos: []string{"h2", "http/1.1"},
	})
}

func listenAt(cfg Config) (net.Listener, error) {
	switch {
	case cfg.Addr != "":
		return listen(cfg.Addr)
	case cfg.RTT > 0:
		return listenOutside()
	}
	return listen("127.0.0.1:0")
}

// Close cuts every connection and returns when no handler runs any more. A handler that waits must heed its
// request's context.
func (s *Server) Close() error {
	if s.http == nil {
		s.Wire.Close()
		return nil
	}
	s.mu.Lock()
	if !s.closing {
		s.closing = true
		if s.running == 0 {
			close(s.idle)
		}
	}
	s.mu.Unlock()
	err := s.http.Close()
	if s.Wire != nil {
		s.Wire.Close()
	}
	<-s.done
	<-s.idle
	return err
}

func (s *Server) track(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if s.closing {
			s.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		s.running++
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.running--
			if s.closing && s.running == 0 {
				close(s.idle)
			}
		}()
		h.ServeHTTP(w, r)
	})
}
