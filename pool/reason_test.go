package pool

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"hearth/internal/testing/testnet"
	"hearth/pool/conn"
)

// What answers in another protocol is noticed in one of several ways, as it comes first.
func TestAnotherProtocolIsToldAsSuch(t *testing.T) {
	for _, cfg := range []testnet.Config{{}, {TLS: true, HTTP2: true}} {
		s, err := testnet.Serve(http.NotFoundHandler(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		p := newPool(t, Config{Name: "upstream", URL: "http://" + s.Addr, GRPC: true, Retries: -1})
		_, err = p.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"})
		if err == nil {
			t.Fatal("it answers")
		}
		ok := false
		for _, want := range []string{"does not speak HTTP/2", "closes connections at once", "the connection broke"} {
			ok = ok || strings.Contains(Reason(err), want)
		}
		if !ok {
			t.Errorf("%+v: %s", cfg, Reason(err))
		}
	}
}

// Which of these comes of a connection that ends is up to chance; what a resolver says is up to the machine.
func TestWhatCannotBeBroughtAboutAtWillIsSaidInPlainWords(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("http2: client conn could not be established"), "closes connections at once"},
		{conn.ErrClosedAtOnce, "closes connections at once"},
		{errors.New("http2: client connection lost"), "the connection broke"},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "the connection broke"},
		{&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, "the connection broke"},
		{io.ErrUnexpectedEOF, "the connection broke"},
		{&net.DNSError{Name: "no-such-host", IsNotFound: true}, "host is not known"},
	} {
		if got := Reason(&Error{Upstream: "upstream", Err: c.err}); !strings.Contains(got, c.want) {
			t.Errorf("%v: %s", c.err, got)
		}
	}
}

func TestWhyThereIsNoAnswerIsSaidInPlainWords(t *testing.T) {
	served := func(cfg testnet.Config) string {
		t.Helper()
		s, err := testnet.Serve(http.NotFoundHandler(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s.URL
	}
	as := func(scheme, url string) string { return scheme + url[strings.Index(url, "://"):] }
	for name, c := range map[string]struct {
		url  string
		grpc bool
		want string
	}{
		"nobody there":              {"http://127.0.0.1:1", false, "is the port right?"},
		"TLS without HTTP/2":        {served(testnet.Config{TLS: true}), true, "speaks TLS but not HTTP/2"},
		"no TLS for https":          {as("https", served(testnet.Config{HTTP2: true})), true, "speaks no TLS"},
		"an authority of one's own": {served(testnet.Config{TLS: true}), false, "HEARTH_TLS_CA"},
	} {
		p := newPool(t, Config{Name: "upstream", URL: c.url, GRPC: c.grpc, Retries: -1})
		_, err := p.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"})
		if err == nil {
			t.Errorf("%s: it answers", name)
			continue
		}
		if got := Reason(err); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
