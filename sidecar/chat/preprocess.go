package chat

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/guard"
	"hearth/pool/weaviate"
)

// Question is what a preprocess asks.
type Question struct {
	Chat, Text string
	Vector     []float32 // of the text; nil: none
	Count      int       // of relevant messages
	Route      string
	Odoo       bool        // ask for the models, if the route wants them
	History    *cache.View // nil: none is wanted
}

// Part is one part of the answer to a preprocess.
type Part struct {
	Name   string // as wire.PartMute
	Body   []byte // JSON
	Origin cache.Origin
	Err    error            // why it did not come
	Failed map[string]error // the pieces that failed, if the part came with the others
	Took   time.Duration
}

// Preprocess asks for everything that a handler needs before it can answer. The parts are asked for at the same time. No part waits
// for another one's failure, and each ends with ctx at the latest.
//
// It returns the chat's name, and the parts in a fixed order. Its own error is a *[weaviate.ChatIDError].
func (s *Service) Preprocess(ctx context.Context, q Question, d cache.Directives) (chat string, parts []Part, err error) {
	parts = s.runParts(ctx, s.partsOf(q, d))
	for _, p := range parts {
		if e, wrong := errors.AsType[*weaviate.ChatIDError](p.Err); wrong {
			return "", nil, e
		}
	}
	chat = q.Chat
	if s.cfg.Weaviate != nil {
		chat = s.cfg.Weaviate.KnownMessageChat(chat) // without asking: a part has waited for Weaviate already
	}
	return chat, parts, nil
}

// job asks for one part.
type job struct {
	name string
	get  func(context.Context) (Part, error)
}

func (s *Service) partsOf(q Question, d cache.Directives) []job {
	jobs := []job{
		{wire.PartMute, func(ctx context.Context) (Part, error) {
			m, origin, err := s.mute(ctx, q.Chat, d)
			if err != nil {
				return Part{}, err
			}
			b, err := Encode(wire.MuteStatus{Muted: m.Muted})
			return Part{Body: b, Origin: origin}, err
		}},
		{wire.PartRelevant, func(ctx context.Context) (Part, error) {
			if strings.TrimSpace(q.Text) == "" && q.Vector == nil { // such as a picture without a caption
				return Part{Body: []byte("[]"), Origin: cache.Origin{Served: cache.Hit}}, nil
			}
			got, err := s.Relevant(ctx, weaviate.Query{
				Chat: q.Chat, Text: q.Text, Mode: weaviate.Auto, Vector: q.Vector, Roles: []string{wire.RoleUser, wire.RoleAssistant}, Count: q.Count,
			}, d)
			if err != nil {
				return Part{}, err
			}
			return Part{Body: relevantList(got.Body), Origin: got.Origin}, nil
		}},
	}
	if q.Odoo && slices.Contains(s.cfg.OdooRoutes, q.Route) {
		jobs = append(jobs, job{wire.PartOdoo, func(ctx context.Context) (Part, error) {
			got, err := s.Models(ctx, nil, d)
			return Part{Body: got.Object, Origin: got.Origin, Failed: got.Failed}, err
		}})
	}
	if q.History != nil {
		jobs = append(jobs, job{wire.PartHistory, func(ctx context.Context) (Part, error) {
			got, err := s.History(ctx, q.Chat, *q.History, d)
			return Part{Body: got.Body, Origin: got.Origin}, err
		}})
	}
	return jobs
}

// runParts runs the jobs at the same time, up to Config.Workers of them, and returns their parts in the same order.
func (s *Service) runParts(ctx context.Context, jobs []job) []Part {
	parts := make([]Part, len(jobs))
	var g errgroup.Group
	g.SetLimit(s.cfg.Workers)
	for i, j := range jobs {
		g.Go(func() error {
			start := time.Now()
			p, err := guard.Get(func() (Part, error) { return j.get(ctx) })
			p.Name, p.Err, p.Took = j.name, err, time.Since(start)
			parts[i] = p
			return nil // a part's failure is its own
		})
	}
	_ = g.Wait() // never an error
	return parts
}
