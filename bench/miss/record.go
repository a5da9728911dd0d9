package miss

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/protobuf/proto"

	"hearth/bench/rig"
	"hearth/internal/testing/testnet"
)

const searchPath = "/weaviate.v1.Weaviate/Search"

// recordHistory finds out what Hearth asks when it loads the history: it lets a Hearth do so through a proxy that keeps the questions.
func recordHistory(ctx context.Context, r *rig.Rig) (questions []*pb.SearchRequest, err error) {
	upstream, err := url.Parse(r.Upstreams.WeaviateGRPC)
	if err != nil {
		return nil, err
	}
	h2c := &http.Transport{Protocols: new(http.Protocols)}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	defer h2c.CloseIdleConnections()
	var asked recorder
	front, err := testnet.Serve(asked.before(&httputil.ReverseProxy{ //nolint:contextcheck // its life ends with Close
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(upstream) }, Transport: h2c, FlushInterval: -1,
	}), testnet.Config{HTTP2: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, front.Close()) }()
	hearth, err := r.StartHearth(ctx, r.Hearth, "HEARTH_WEAVIATE_GRPC_URL="+front.URL)
	if err != nil {
		return nil, err
	}
	defer hearth.Stop()
	through, err := dialHearth(ctx, hearth)
	if err != nil {
		return nil, err
	}
	defer through.conn.Close()
	asked.take() // what Hearth has asked to warm up
	if err := through.history(ctx); err != nil {
		return nil, hearth.Failed(err)
	}
	for _, body := range asked.take() {
		const prefix = 5 // of a message in gRPC: whether it is compressed, and its length
		if len(body) < prefix || body[0] != 0 {
			return nil, fmt.Errorf("a question is no plain message: %q", body)
		}
		q := &pb.SearchRequest{}
		if err := proto.Unmarshal(body[prefix:], q); err != nil {
			return nil, err
		}
		questions = append(questions, q)
	}
	if len(questions) != 2 {
		return nil, fmt.Errorf("a history asks %d questions and not one for each role", len(questions))
	}
	return questions, nil
}

// recorder keeps the bodies of requests for a search.
type recorder struct {
	mu     sync.Mutex
	bodies [][]byte // guarded by mu
}

func (r *recorder) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == searchPath {
			body, err := io.ReadAll(req.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.mu.Lock()
			r.bodies = append(r.bodies, body)
			r.mu.Unlock()
			req.Body = io.NopCloser(bytes.NewReader(body))
		}
		next.ServeHTTP(w, req)
	})
}

func (r *recorder) take() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	bodies := r.bodies
	r.bodies = nil
	return bodies
}
