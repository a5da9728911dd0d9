package pool

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"hearth/internal/testing/testnet"
)

// BenchmarkRoundTrip compares one request through a pool with the same request over a connection of net/http, both open already. The
// server answers at once.
func BenchmarkRoundTrip(b *testing.B) {
	answer := bytes.Repeat([]byte("x"), 4<<10)
	for _, http2 := range []bool{false, true} {
		name := map[bool]string{false: "HTTP1", true: "h2c"}[http2]
		s, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = w.Write(answer)
		}), testnet.Config{HTTP2: http2})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetUnencryptedHTTP2(http2)
		b.Cleanup(transport.CloseIdleConnections)
		body := []byte(`{"question":"?"}`)
		b.Run(name+"/bare", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, s.URL, bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				resp, err := transport.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, resp.Body); n != int64(len(answer)) || err != nil {
					b.Fatal(n, err)
				}
				_ = resp.Body.Close()
			}
		})
		for _, repeatable := range []bool{false, true} {
			p := newPool(b, Config{Name: "upstream", URL: s.URL, GRPC: http2})
			b.Run(name+map[bool]string{false: "/once", true: "/repeatable"}[repeatable], func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					resp, err := p.Do(b.Context(), Request{Method: http.MethodPost, Path: "/", Body: body, Repeatable: repeatable})
					if err != nil || len(resp.Body) != len(answer) {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
