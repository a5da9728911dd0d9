package miss

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"

	"hearth/bench/rig"
	"hearth/internal/testing/testnet"
)

// question is a request that Hearth makes.
type question struct {
	path   string
	header http.Header
	body   []byte
}

// record finds out what Hearth asks an upstream for a call: it lets a Hearth make it through a proxy that keeps the questions. The variable
// says where Hearth finds the upstream.
func record(ctx context.Context, r *rig.Rig, variable, upstream string, http2 bool, call rig.Call) (asked []question, err error) {
	to, err := url.Parse(upstream)
	if err != nil {
		return nil, err
	}
	transport := newTransport(http2)
	defer transport.CloseIdleConnections()
	var kept recorder
	front, err := testnet.Serve(kept.before(&httputil.ReverseProxy{ //nolint:contextcheck // its life ends with Close
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }, Transport: transport, FlushInterval: -1,
	}), testnet.Config{HTTP2: http2})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, front.Close()) }()
	hearth, err := r.StartHearth(ctx, r.Hearth, variable+"="+front.URL)
	if err != nil {
		return nil, err
	}
	defer hearth.Stop()
	through, err := dialHearth(ctx, hearth)
	if err != nil {
		return nil, err
	}
	defer through.close()
	for range 2 { // the first call also asks what Hearth learns once
		kept.take()
		if err := through.load(call)(ctx); err != nil {
			return nil, hearth.Failed(err)
		}
	}
	return kept.take(), nil
}

// newTransport has connections that stay open: HTTP/2 without TLS, or HTTP/1.1.
func newTransport(http2 bool) *http.Transport {
	t := &http.Transport{Protocols: new(http.Protocols)}
	t.Protocols.SetUnencryptedHTTP2(http2)
	t.Protocols.SetHTTP1(!http2)
	return t
}

// recorder keeps requests.
type recorder struct {
	mu    sync.Mutex
	asked []question // guarded by mu
}

func (r *recorder) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		r.asked = append(r.asked, question{req.URL.Path, req.Header.Clone(), body})
		r.mu.Unlock()
		req.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, req)
	})
}

// take returns what was asked since the last call.
func (r *recorder) take() []question {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}
