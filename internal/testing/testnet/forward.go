package testnet

import (
	"encoding/base64"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
)

// ForwardConfig says what a forward proxy does.
type ForwardConfig struct {
	TLS   bool                                              // clients reach the proxy by https
	User  string                                            // "user:password" that the proxy wants; empty: none
	Hosts map[string]string                                 // names that only the proxy can resolve: host:port → address
	Hook  func(w http.ResponseWriter, r *http.Request) bool // called first; true: it has answered the request; nil: there is none
}

// Forward is a forward proxy: it answers CONNECT with a tunnel, and any other request with 405. Close it.
type Forward struct {
	*Server
	cfg ForwardConfig

	mu      sync.Mutex
	tunnels map[string]int        // guarded by mu: how many were made, by the address behind the proxy
	open    map[net.Conn]struct{} // guarded by mu: both ends of each tunnel
}

// NewForward starts a forward proxy.
func NewForward(cfg ForwardConfig) (*Forward, error) {
	f := &Forward{cfg: cfg, tunnels: map[string]int{}, open: map[net.Conn]struct{}{}}
	var err error
	f.Server, err = Serve(f, Config{TLS: cfg.TLS})
	return f, err
}

// Tunnels returns how many tunnels were made to each address.
func (f *Forward) Tunnels() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.tunnels)
}

// Cut ends every tunnel.
func (f *Forward) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.open {
		c.Close()
	}
}

// Close ends the proxy and every tunnel.
func (f *Forward) Close() error {
	f.Cut()
	return f.Server.Close()
}

func (f *Forward) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	wanted := "Basic " + base64.StdEncoding.EncodeToString([]byte(f.cfg.User))
	switch {
	case f.cfg.Hook != nil && f.cfg.Hook(w, r):
		return
	case r.Method != http.MethodConnect:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case f.cfg.User != "" && r.Header.Get("Proxy-Authorization") != wanted:
		w.Header().Set("Proxy-Authenticate", `Basic realm="test"`)
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		return
	}
	to := r.Host
	if address, ok := f.cfg.Hosts[to]; ok {
		to = address
	}
	far, err := new(net.Dialer).DialContext(r.Context(), "tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	f.mu.Lock()
	f.tunnels[r.Host]++
	f.open[near], f.open[far] = struct{}{}, struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.open, near)
		delete(f.open, far)
	}()
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { carryAll(far, buffered) })
	both.Go(func() { carryAll(near, far) })
	both.Wait()
}

// carryAll copies from src until either side ends, and then closes dst.
func carryAll(dst net.Conn, src io.Reader) {
	_, _ = io.Copy(dst, src)
	dst.Close()
}
