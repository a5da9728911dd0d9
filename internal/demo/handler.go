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

	"golang.org/x/sync/errgroup"

	"hearth/client"
	"hearth/internal/lambdatest"
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
	Stages    [][]call `json:"stages,omitempty"`
	CAFile    string   `json:"ca_file"`
}

// sample is what came of it.
type sample struct {
	MS     float64           `json:"ms"`
	Answer answer            `json:"answer"`
	Cache  map[string]string `json:"cache"` // of a preprocess through Hearth: hit, miss or stale
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

func (h *goHandler) measure(ctx context.Context, j job) (sample, error) {
	start := time.Now()
	if j.Variant == "hearth" {
		p, err := h.hearth.Preprocess(ctx, client.PreprocessRequest{
			ChatID: j.ChatID, Text: j.Text, RouteName: j.RouteName, EnableOdoo: true, NumMessages: 10,
		})
		if err != nil {
			return sample{}, err
		}
		ms := since(start)
		if len(p.Errors) > 0 {
			return sample{}, fmt.Errorf("parts failed: %v", p.Errors)
		}
		return sample{MS: ms, Answer: ofHearth(p), Cache: p.Cache}, nil
	}
	replies, err := h.ask(ctx, j.Stages)
	if err != nil {
		return sample{}, err
	}
	ms := since(start)
	a, err := ofUpstreams(replies)
	return sample{MS: ms, Answer: a}, err
}

func since(start time.Time) float64 { return float64(time.Since(start).Microseconds()) / 1000 }

// ask makes each stage's calls at the same time, one stage after another.
func (h *goHandler) ask(ctx context.Context, stages [][]call) (map[string]any, error) {
	replies := map[string]any{}
	for _, stage := range stages {
		g, ctx := errgroup.WithContext(ctx)
		got := make([]any, len(stage))
		for i, c := range stage {
			g.Go(func() (err error) { got[i], err = h.send(ctx, c); return err })
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

// send makes one call over a connection of its own.
func (h *goHandler) send(ctx context.Context, c call) (reply any, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.Host+c.Path, bytes.NewReader([]byte(c.Body)))
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
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s %.300s", c.Name, resp.Status, b)
	}
	err = json.Unmarshal(b, &reply)
	return reply, err
}
