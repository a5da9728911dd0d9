package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"hearth/client"
	"hearth/internal/testing/lab"
)

// handler makes one preprocess, in the language of the sample handler, and is the sample handler too.
type handler interface {
	measure(ctx context.Context, j job) (sample, error)
	turn(ctx context.Context, t lab.Turn) (lab.Reply, error)
}

// job is one preprocess to measure: through Hearth, or in the stages given.
type job struct {
	Variant   string   `json:"variant"` // "hearth" or "direct"
	ChatID    string   `json:"chat_id"`
	Text      string   `json:"text"`
	RouteName string   `json:"route_name"`
	Stages    [][]call `json:"stages"`
	CAFile    string   `json:"ca_file"`
}

// sample is what came of it: how long it took, and Hearth's reply or those of the upstreams.
type sample struct {
	MS         float64            `json:"ms"`
	Preprocess *client.Preprocess `json:"preprocess"`
	Replies    map[string][]byte  `json:"replies"` // by the calls' names
}

// read says what was found, and through Hearth which parts were a hit, a miss or stale.
func (s sample) read() (a answer, cache map[string]string, err error) {
	if s.Preprocess == nil {
		a, err = ofUpstreams(s.Replies)
		return a, nil, err
	}
	a, err = ofHearth(s.Preprocess)
	return a, s.Preprocess.Cache, err
}

func newHandler(l lab.Language, s *lab.Sandbox, u *lab.Upstreams) handler {
	if l == lab.Python {
		return pythonHandler{s}
	}
	return goHandler{s, u.TLS}
}

// pythonHandler is measure.py in the sandbox: every sample is an invocation.
type pythonHandler struct{ sandbox *lab.Sandbox }

func (h pythonHandler) measure(ctx context.Context, j job) (s sample, err error) {
	err = h.sandbox.Invoke(ctx, j, &s)
	return s, err
}

func (h pythonHandler) turn(ctx context.Context, t lab.Turn) (r lab.Reply, err error) {
	err = h.sandbox.Invoke(ctx, map[string]any{"variant": "handler", "event": t}, &r)
	return r, err
}

// goHandler has the sample handler in the sandbox, and measures here, in the same language.
type goHandler struct {
	sandbox *lab.Sandbox
	tls     *tls.Config
}

func (h goHandler) turn(ctx context.Context, t lab.Turn) (r lab.Reply, err error) {
	err = h.sandbox.Invoke(ctx, t, &r)
	return r, err
}

func (h goHandler) measure(ctx context.Context, j job) (s sample, err error) {
	start := time.Now()
	if j.Variant == "hearth" {
		s.Preprocess, err = h.sandbox.Hearth.Preprocess(ctx, client.PreprocessRequest{
			ChatID: j.ChatID, Text: j.Text, RouteName: j.RouteName, EnableOdoo: true, NumMessages: 10,
		})
	} else {
		s.Replies, err = h.ask(ctx, j.Stages)
	}
	s.MS = lab.MS(time.Since(start))
	return s, err
}

// ask makes each stage's calls at the same time, one stage after another.
func (h goHandler) ask(ctx context.Context, stages [][]call) (map[string][]byte, error) {
	replies := map[string][]byte{}
	for _, stage := range stages {
		g, ctx := errgroup.WithContext(ctx)
		got := make([][]byte, len(stage))
		for i, c := range stage {
			send := h.post
			if c.GRPC {
				send = h.search
			}
			g.Go(func() (err error) { got[i], err = send(ctx, c); return err })
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		for i, c := range stage {
			replies[c.Name] = got[i]
		}
	}
	return replies, nil
}

// search asks Weaviate over a channel of its own.
func (h goHandler) search(ctx context.Context, c call) (reply []byte, err error) {
	channel, err := grpc.NewClient(c.Host, grpc.WithTransportCredentials(credentials.NewTLS(h.tls)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, channel.Close()) }()
	var req pb.SearchRequest
	if err := proto.Unmarshal(c.Body, &req); err != nil {
		return nil, err
	}
	found, err := pb.NewWeaviateClient(channel).Search(ctx, &req)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(found)
}

// post asks Odoo over a connection of its own.
func (h goHandler) post(ctx context.Context, c call) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.Host+c.Path, bytes.NewReader(c.Body))
	if err != nil {
		return nil, err
	}
	for name, value := range c.Headers {
		req.Header.Set(name, value)
	}
	resp, err := (&http.Transport{TLSClientConfig: h.tls, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %.300s", c.Name, resp.Status, b)
	}
	return b, err
}
