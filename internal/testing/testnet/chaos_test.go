package testnet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

func TestSwallowedConnectionsAreSilentFromTheBeginning(t *testing.T) {
	w := startProxy(t)
	old := w.dial()
	w.Swallow(true)
	c, err := net.Dial("tcp", w.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	w.reads(c, brief, os.ErrDeadlineExceeded)
	w.echoes(old)
	w.Swallow(false)
	w.dial()
}

func TestADetourLeadsNewConnectionsToAnotherServer(t *testing.T) {
	w, other := startProxy(t), startProxy(t)
	old := w.dial()
	w.Detour(other.address())
	w.dial()
	if n := other.Accepted(); n != 1 {
		t.Errorf("the other server got %d connections, want 1", n)
	}
	w.echoes(old)
	w.Detour("")
	w.dial()
	if n := other.Accepted(); n != 1 {
		t.Errorf("the detour goes on: %d connections", n)
	}
}

func TestBandwidthAndJitterKeepTheOrder(t *testing.T) {
	w := startProxy(t)
	c := w.dial()
	w.SetJitter(10 * time.Millisecond)
	for range 5 {
		w.echoes(c)
	}
	w.SetBandwidth(100) // bytes in a second, each way: "hello" takes 50 ms
	began := time.Now()
	w.echoes(c)
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("10 bytes took %v", took)
	}
}

func TestBeforeIsAWireAlone(t *testing.T) {
	back := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), Config{TLS: true})
	front, err := Before(back.Addr, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, back)
	post(t, c, front.URL, []byte("x"))
	if n := front.Wire.Open(); n != 1 {
		t.Errorf("%d connections are open, want 1", n)
	}
	if err := front.Close(); err != nil || front.Wire.Open() != 0 {
		t.Errorf("closed: %v, %d connections", err, front.Wire.Open())
	}
}

func TestAServerPresentsBadCertificatesUntilItIsGoodAgain(t *testing.T) {
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), Config{TLS: true})
	for which, judge := range map[Certificate]func(error) bool{
		Expired: func(err error) bool {
			e, ok := errors.AsType[x509.CertificateInvalidError](err)
			return ok && e.Reason == x509.Expired
		},
		Stranger: func(err error) bool { _, ok := errors.AsType[x509.UnknownAuthorityError](err); return ok },
		Good:     func(err error) bool { return err == nil },
	} {
		s.Present(which)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(s.CA)
		c, err := tls.Dial("tcp", s.Addr, &tls.Config{RootCAs: roots})
		if !judge(err) {
			t.Errorf("certificate %d: %v", which, err)
		}
		if err == nil {
			c.Close()
		}
	}
}

func TestANameServerAnswersDeniesAndIgnores(t *testing.T) {
	s, err := NewNameServer()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Addr)
	}}
	ask := func(patience time.Duration) ([]string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return r.LookupHost(ctx, "upstream.test")
	}
	if got, err := ask(sure); err != nil || len(got) == 0 || got[0] != "127.0.0.1" {
		t.Errorf("answered: %v, %v", got, err)
	}
	s.Set(Deny)
	if _, err := ask(sure); err == nil || !err.(*net.DNSError).IsNotFound { //nolint:errorlint // LookupHost's own
		t.Errorf("denied: %v", err)
	}
	s.Set(Ignore)
	if _, err := ask(brief); err == nil || !err.(*net.DNSError).IsTimeout { //nolint:errorlint // likewise
		t.Errorf("ignored: %v", err)
	}
}
