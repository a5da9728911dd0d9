package conn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// DialConfig says how connections to an upstream are opened.
type DialConfig struct {
	URL      *url.URL              // http or https
	Proxy    *url.URL              // http or https: the forward proxy through which every connection goes, by CONNECT; nil: none
	HTTP2    bool                  // speak HTTP/2 alone, without TLS too, and send no pings
	Timeout  time.Duration         // of one TCP connection, and of one TLS handshake
	RootCAs  func() *x509.CertPool // called once, before the first dial; nil: the system's
	Sessions int                   // TLS sessions that are kept, to be resumed
	Keep     func() bool           // whether sessions are kept now
	Counts   *DialCounts           // what is counted
	Resolver *net.Resolver         // nil: the system's
	// Control is called after the host's name was resolved and before each address is connected to; an error keeps it from
	// being connected to. nil: every address is connected to.
	Control func(network, address string, c syscall.RawConn) error
}

// DialCounts counts dials.
type DialCounts struct {
	Dials, Errors       atomic.Int64 // begun; of them, those that failed
	Handshakes, Resumed atomic.Int64 // TLS handshakes finished; of them, those that resumed a session
}

// socketKey is the key of a *net.Conn in a context. The TCP connection that is dialed under the context is put there.
type socketKey struct{}

// NewDial returns how a connection is opened: TCP, the tunnel through a proxy if there is one, and, for https, TLS with sessions resumed.
func NewDial(cfg DialConfig) Dial {
	dialer := &net.Dialer{Timeout: cfg.Timeout, KeepAlive: 15 * time.Second, Resolver: cfg.Resolver, Control: cfg.Control}
	transport := newTransport(cfg)
	open := func(ctx context.Context, network, address string) (net.Conn, error) {
		first := address
		if cfg.Proxy != nil {
			first = Address(cfg.Proxy)
		}
		c, err := dialer.DialContext(ctx, network, first)
		if socket, ok := ctx.Value(socketKey{}).(*net.Conn); ok {
			*socket = c
		}
		if cfg.Proxy == nil {
			return c, err
		}
		if err != nil {
			return nil, &ProxyError{Proxy: first, Err: err}
		}
		ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
		defer cancel()
		return tunnel(ctx, c, cfg.Proxy, address, transport.TLSClientConfig)
	}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := open(ctx, network, address)
		if err == nil && cfg.HTTP2 {
			c = gather(c)
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
			cfg.Counts.Handshakes.Add(1)
			if s.DidResume {
				cfg.Counts.Resumed.Add(1)
			}
		}
	}}
	address := Address(cfg.URL)
	return func(ctx context.Context) (*Conn, error) {
		cfg.Counts.Dials.Add(1)
		trust()
		var tcp net.Conn
		ctx = context.WithValue(httptrace.WithClientTrace(ctx, trace), socketKey{}, &tcp)
		link, err := transport.NewClientConn(ctx, cfg.URL.Scheme, address)
		if err != nil {
			cfg.Counts.Errors.Add(1)
			return nil, err
		}
		return &Conn{Link: link, Socket: socket{tcp}}, nil
	}
}

// newTransport makes the transport that speaks over the connections. A gRPC server closes a connection for pings that it
// finds too many, so it gets none: a connection that has become silent is given up with the first request it does not answer.
func newTransport(cfg DialConfig) *http.Transport {
	t := &http.Transport{
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			ClientSessionCache: snapshotSafeSessions{tls.NewLRUClientSessionCache(cfg.Sessions), cfg.Keep},
		},
		TLSHandshakeTimeout:    cfg.Timeout,
		MaxResponseHeaderBytes: 1 << 20,
		DisableCompression:     true, // the upstream is near, and decompression costs more than it saves
	}
	if cfg.HTTP2 {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP2(true)
		t.Protocols.SetUnencryptedHTTP2(true)
		return t
	}
	t.ForceAttemptHTTP2 = true
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second}
	return t
}

// snapshotSafeSessions are the TLS sessions to resume. Like connections they are kept only once no snapshot can hold them: each copy of
// the snapshot would resume the same one.
type snapshotSafeSessions struct {
	tls.ClientSessionCache

	keep func() bool
}

func (s snapshotSafeSessions) Put(key string, state *tls.ClientSessionState) {
	if s.keep() {
		s.ClientSessionCache.Put(key, state)
	}
}
