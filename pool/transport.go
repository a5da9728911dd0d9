package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"time"
)

// transport is the tuned http.Transport of one upstream, with everything it does counted.
type transport struct {
	http  *http.Transport
	stats counters

	mu     sync.Mutex
	open   map[*conn]struct{} // guarded by mu
	closed bool               // guarded by mu
}

func newTransport(cfg Config) *transport {
	t := &transport{open: map[*conn]struct{}{}}
	dialer := &net.Dialer{Timeout: cfg.DialTimeout, KeepAlive: 15 * time.Second}
	t.http = &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			t.stats.dials.Add(1)
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				t.stats.dialErrors.Add(1)
				return nil, err
			}
			return t.hold(c)
		},
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            cfg.RootCAs,
			ClientSessionCache: tls.NewLRUClientSessionCache(2 * cfg.Size),
		},
		TLSHandshakeTimeout:    cfg.DialTimeout,
		MaxIdleConns:           cfg.Size,
		MaxIdleConnsPerHost:    cfg.Size,
		MaxConnsPerHost:        cfg.Size,
		IdleConnTimeout:        cfg.MaxIdle,
		MaxResponseHeaderBytes: 1 << 20,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // the upstream is near, and decompression costs more than it saves
	}
	return t
}

// RoundTrip is one try on one connection.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent time.Time
	trace := &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			if i.Reused {
				t.stats.reused.Add(1)
			}
			sent = time.Now()
		},
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			if err == nil {
				t.stats.handshakes.Add(1)
				if s.DidResume {
					t.stats.resumed.Add(1)
				}
			}
		},
	}
	t.stats.requests.Add(1)
	resp, err := t.http.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		t.stats.failures.Add(1)
		return nil, err
	}
	t.stats.roundTrips.add(time.Since(sent))
	return resp, nil
}

// conn is a connection that the transport holds until it is closed.
type conn struct {
	net.Conn
	of *transport
}

func (t *transport) hold(c net.Conn) (net.Conn, error) {
	held := &conn{Conn: c, of: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = c.Close() // nothing was sent
		return nil, ErrClosed
	}
	t.open[held] = struct{}{}
	return held, nil
}

func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

func (t *transport) opened() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// close closes every connection: those too that a call cancelled a moment ago has not let go of yet.
func (t *transport) close() {
	t.mu.Lock()
	t.closed = true
	open := slices.Collect(maps.Keys(t.open))
	t.mu.Unlock()
	for _, c := range open {
		_ = c.Close() // nobody reads it any more
	}
	t.http.CloseIdleConnections()
}

func isCertificateError(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}
