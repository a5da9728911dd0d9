package pool

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"
)

// socketKey is of a context's *net.Conn, which takes the TCP connection that is dialed under it.
type socketKey struct{}

// dialer returns how a connection to the upstream is opened: TCP and, for https, TLS with sessions resumed.
func dialer(cfg Config, u *url.URL, stats *counters) func(context.Context) (*dialed, error) {
	tcp := &net.Dialer{Timeout: cfg.DialTimeout, KeepAlive: 15 * time.Second}
	transport := newTransport(cfg)
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := tcp.DialContext(ctx, network, address)
		if socket, ok := ctx.Value(socketKey{}).(*net.Conn); ok {
			*socket = c
		}
		return c, err
	}
	trust := sync.OnceFunc(func() { // reading the system's roots takes longer than all else at start
		if cfg.RootCAs != nil {
			transport.TLSClientConfig.RootCAs = cfg.RootCAs()
		}
	})
	trace := &httptrace.ClientTrace{TLSHandshakeDone: func(s tls.ConnectionState, err error) {
		if err == nil {
			stats.handshakes.Add(1)
			if s.DidResume {
				stats.resumed.Add(1)
			}
		}
	}}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	address := net.JoinHostPort(u.Hostname(), port)
	return func(ctx context.Context) (*dialed, error) {
		stats.dials.Add(1)
		trust()
		var socket net.Conn
		ctx = context.WithValue(httptrace.WithClientTrace(ctx, trace), socketKey{}, &socket)
		cc, err := transport.NewClientConn(ctx, u.Scheme, address)
		if err != nil {
			stats.dialErrors.Add(1)
			return nil, err
		}
		return &dialed{cc, func() bool { return peerGone(socket) }}, nil
	}
}

// newTransport makes the transport that speaks over the connections. A gRPC server closes a connection for pings that it
// finds too many, so it gets none: a connection that has become silent is given up with the first request it does not answer.
func newTransport(cfg Config) *http.Transport {
	t := &http.Transport{
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			ClientSessionCache: sessions{tls.NewLRUClientSessionCache(2 * cfg.Size), cfg},
		},
		TLSHandshakeTimeout:    cfg.DialTimeout,
		MaxResponseHeaderBytes: 1 << 20,
		DisableCompression:     true, // the upstream is near, and decompression costs more than it saves
	}
	if cfg.GRPC {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP2(true)
		t.Protocols.SetUnencryptedHTTP2(true)
		return t
	}
	t.ForceAttemptHTTP2 = true
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second}
	return t
}

// sessions are the TLS sessions to resume. Like connections they are kept only once no snapshot can hold them: each of its
// copies would resume the same one.
type sessions struct {
	tls.ClientSessionCache
	cfg Config
}

func (s sessions) Put(key string, state *tls.ClientSessionState) {
	if s.cfg.Pulse.Thaws() >= s.cfg.KeepFrom {
		s.ClientSessionCache.Put(key, state)
	}
}
