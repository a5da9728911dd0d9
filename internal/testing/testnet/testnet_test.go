package testnet

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })

func start(t *testing.T, h http.Handler, cfg Config) *Server {
	t.Helper()
	s, err := Serve(h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func client(t *testing.T, s *Server) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(true)
	tr.Protocols.SetHTTP2(true)
	if s.CA != nil {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(s.CA) {
			t.Fatal("CA is no PEM")
		}
		tr.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func post(t *testing.T, c *http.Client, url string, body []byte) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, body) {
		t.Fatalf("echo of %d bytes came back as %d bytes", len(body), len(got))
	}
	return resp
}

// The prices are compared with each other within one run: what the machine adds is in all of them.
func TestRoundTripsAreCharged(t *testing.T) {
	const rtt = 150 * time.Millisecond
	for _, tc := range []struct {
		name  string
		tls   bool
		fresh float64 // round trips of a request on a new connection
	}{{"plain", false, 2}, {"TLS", true, 3}} {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t, echo, Config{TLS: tc.tls, RTT: rtt})
			var fresh, kept []time.Duration
			for range 3 {
				c := client(t, s)
				begin := time.Now()
				post(t, c, s.URL, []byte("x"))
				mid := time.Now()
				post(t, c, s.URL, []byte("y"))
				fresh, kept = append(fresh, mid.Sub(begin)), append(kept, time.Since(mid))
			}
			f, k := slices.Min(fresh), slices.Min(kept)
			t.Logf("fresh %v = %.2f rtt, kept %v = %.2f rtt", f, f.Seconds()/rtt.Seconds(), k, k.Seconds()/rtt.Seconds())
			if k < rtt || f < time.Duration(tc.fresh*float64(rtt)) {
				t.Errorf("cheaper than the wire allows: fresh %v, kept %v", f, k)
			}
			if ratio := float64(f) / float64(k); ratio < tc.fresh-0.6 || ratio > tc.fresh+0.6 {
				t.Errorf("fresh/kept = %.2f, want about %.0f", ratio, tc.fresh)
			}
		})
	}
}

func TestDelayDoesNotLimitThroughput(t *testing.T) {
	s := start(t, echo, Config{RTT: 40 * time.Millisecond})
	c := client(t, s)
	post(t, c, s.URL, []byte("warm"))
	begin := time.Now()
	post(t, c, s.URL, []byte("x"))
	small := time.Since(begin)
	begin = time.Now()
	post(t, c, s.URL, make([]byte, 16<<20))
	// 512 chunks of 32 KiB, each waiting for the one before, would take 10 s in each direction.
	if big := time.Since(begin); big > small+9*time.Second {
		t.Errorf("16 MiB took %v, one byte %v", big, small)
	}
}

func TestHTTP2OnlyWhenAsked(t *testing.T) {
	for _, want := range []int{1, 2} {
		s := start(t, echo, Config{TLS: true, HTTP2: want == 2})
		if resp := post(t, client(t, s), s.URL, nil); resp.ProtoMajor != want {
			t.Errorf("got %s, want HTTP/%d", resp.Proto, want)
		}
	}
}

func TestCloseCutsARequestThatHangs(t *testing.T) {
	for _, rtt := range []time.Duration{0, time.Millisecond} {
		began := make(chan struct{})
		var k Knobs
		k.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
			close(began)
			<-r.Context().Done()
			return true
		})
		s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { k.Before(w, r) }), Config{RTT: rtt})
		c := client(t, s)
		failed := make(chan error, 1)
		go func() {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/a%2Fb", nil)
			resp, err := c.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			failed <- err
		}()
		<-began
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-failed; err == nil {
			t.Error("the request outlived its server")
		}
		if got := k.Requests(); got["/a%2Fb"] != 1 {
			t.Errorf("Requests() = %v", got)
		}
	}
}

// A client that gives up must be seen by the handler, also through the wire.
func TestHandlerSeesTheClientLeave(t *testing.T) {
	left := make(chan struct{})
	s := start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(left)
	}), Config{TLS: true, RTT: 2 * time.Millisecond})
	c := client(t, s)
	c.Timeout = 100 * time.Millisecond
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	if resp, err := c.Do(req); err == nil {
		resp.Body.Close()
		t.Fatal("no timeout")
	}
	<-left
}
