package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"hearth/client"
	"hearth/internal/testing/lambdatest"
)

// handler makes one preprocess, in the language of the sample handler, and is the sample handler too.
type handler interface {
	measure(ctx context.Context, j job) (sample, error)
	turn(ctx context.Context, e turn) (reply, error)
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

// turn is an event of the sample handlers, and reply their result.
type turn struct {
	ChatID    string `json:"chat_id"`
	Text      string `json:"text"`
	RouteName string `json:"route_name"`
}

type reply struct {
	Reply   string `json:"reply"`
	History int    `json:"history"`
	Saved   bool   `json:"saved"`
}

// pythonHandler is measure.py in the sandbox: every sample is an invocation.
type pythonHandler struct{ host *lambdatest.Host }

func (h pythonHandler) measure(ctx context.Context, j job) (s sample, err error) {
	err = invoke(ctx, h.host, j, &s)
	return s, err
}

func (h pythonHandler) turn(ctx context.Context, e turn) (r reply, err error) {
	err = invoke(ctx, h.host, map[string]any{"variant": "handler", "event": e}, &r)
	return r, err
}

func invoke(ctx context.Context, host *lambdatest.Host, event, result any) error {
	b, err := host.Invoke(ctx, []byte(encode(event)))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, result)
}

// goHandler has the sample handler in the sandbox, and measures here, in the same language.
type goHandler struct {
	host   *lambdatest.Host
	hearth *client.Client
	tls    *tls.Config
}

func newGoHandler(host *lambdatest.Host, hearth *client.Client, caFile string) (*goHandler, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificates in " + caFile)
	}
	return &goHandler{host, hearth, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}, nil
}

func (h *goHandler) turn(ctx context.Context, e turn) (r reply, err error) {
	err = invoke(ctx, h.host, e, &r)
	return r, err
}

func (h *goHandler) measure(ctx context.Context, j job) (s sample, err error) {
	start := time.Now()
	if j.Variant == "hearth" {
		s.Preprocess, err = h.hearth.Preprocess(ctx, client.PreprocessRequest{
			ChatID: j.ChatID, Text: j.Text, RouteName: j.RouteName, EnableOdoo: true, NumMessages: 10,
		})
	} else {
		s.Replies, err = h.ask(ctx, j.Stages)
	}
	s.MS = ms(time.Since(start))
	return s, err
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ask makes each stage's calls at the same time, one stage after another.
func (h *goHandler) ask(ctx context.Context, stages [][]call) (map[string][]byte, error) {
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
func (h *goHandler) search(ctx context.Context, c call) (reply []byte, err error) {
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
func (h *goHandler) post(ctx context.Context, c call) ([]byte, error) {
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
