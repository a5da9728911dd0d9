package main

import (
	"context"
	"crypto/tls"
	"time"

	"hearth/client"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/direct"
)

// handler makes one preprocess, in the language of the sample handler, and is the sample handler too.
type handler interface {
	measure(ctx context.Context, j job) (sample, error)
	turn(ctx context.Context, t lab.Turn) (lab.Reply, error)
}

// job is one preprocess to measure: through Hearth, or in the stages given.
type job struct {
	Variant   string          `json:"variant"` // "hearth" or "direct"
	ChatID    string          `json:"chat_id"`
	Text      string          `json:"text"`
	RouteName string          `json:"route_name"`
	Stages    [][]direct.Call `json:"stages"`
	CAFile    string          `json:"ca_file"`
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
		s.Replies, err = direct.Ask(ctx, h.tls, j.Stages)
	}
	s.MS = lab.MS(time.Since(start))
	return s, err
}
