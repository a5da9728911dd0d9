package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/guard"
	"hearth/pool/weaviate"
)

const maxTimeout = 15 * time.Minute // Lambda's own

// part is one part of a preprocess reply.
type part struct {
	name   string
	get    func(context.Context) (json.RawMessage, cache.Origin, error)
	body   json.RawMessage
	origin cache.Origin
	err    error
	failed map[string]*wire.Problem // pieces of it that failed, though it came
	took   time.Duration
}

// preprocess answers everything that a handler needs before it can think. All parts go out at the same time,
// and none waits for another's failure or slowness.
func (s *Server) preprocess(r *request) error {
	o := decodeObject(r.body, "")
	chat := o.requiredText("chat_id")
	text := o.requiredText("text")
	route := o.requiredText("route_name")
	count := o.number("relevant_count", defaultCount, 1, maxCount)
	odoo := o.flag("enable_odoo")
	view := cache.View{
		Messages: o.number("num_messages", defaultMessages, 1, maxMessages),
		Full:     o.number("full_text_len", defaultFull, 0, maxFull),
	}
	timeout := o.number("timeout_ms", int(s.cfg.Timeout.Milliseconds()), 1, int(maxTimeout.Milliseconds()))
	vector := o.vector("vector")
	if err := o.err(); err != nil {
		return err
	}
	if refusal := checkChat(chat); refusal != nil {
		return refusal
	}
	parts := []*part{
		{name: wire.PartMute, get: func(ctx context.Context) (json.RawMessage, cache.Origin, error) {
			m, origin, err := s.getMute(ctx, chat, r.directives)
			if err != nil {
				return nil, origin, err
			}
			b, err := encode(wire.MuteStatus{Muted: m.Muted})
			return b, origin, err
		}},
		{name: wire.PartRelevant, get: func(ctx context.Context) (json.RawMessage, cache.Origin, error) {
			if strings.TrimSpace(text) == "" && vector == nil { // a picture without a caption: nothing is relevant to it
				return json.RawMessage("[]"), cache.Origin{Served: cache.Hit}, nil
			}
			got, err := s.getRelevant(ctx, weaviate.Query{
				Chat: chat, Text: text, Mode: weaviate.Auto, Vector: vector, Roles: []string{"user", "assistant"}, Count: count,
			}, r.directives)
			if err != nil {
				return nil, got.Origin, err
			}
			return relevantList(got.Body), got.Origin, nil
		}},
	}
	if odoo && slices.Contains(s.cfg.OdooRoutes, route) {
		p := &part{name: wire.PartOdoo}
		p.get = func(ctx context.Context) (json.RawMessage, cache.Origin, error) {
			got, err := s.getModels(ctx, s.cfg.OdooModels, r.directives)
			p.failed = got.failed
			return got.object, got.origin, err
		}
		parts = append(parts, p)
	}
	if o.has("num_messages") || o.has("full_text_len") {
		parts = append(parts, &part{name: wire.PartHistory, get: func(ctx context.Context) (json.RawMessage, cache.Origin, error) {
			got, err := s.getHistory(ctx, chat, view, r.directives)
			return got.Body, got.Origin, err
		}})
	}
	ctx, cancel := s.cfg.Pulse.WithTimeout(r.life, time.Duration(timeout)*time.Millisecond)
	defer cancel()
	s.runParts(ctx, parts)
	for _, p := range parts {
		if _, wrong := errors.AsType[*weaviate.ChatIDError](p.err); wrong {
			return p.err
		}
	}
	if s.cfg.Weaviate != nil {
		chat = s.cfg.Weaviate.KnownMessageChat(chat) // asking once more would make the reply wait for a silent Weaviate again
	}
	return s.replyParts(r, chat, parts)
}

// runParts runs the parts at the same time. Each ends with the context, so the slowest ends in time.
func (s *Server) runParts(ctx context.Context, parts []*part) {
	var g errgroup.Group
	g.SetLimit(s.cfg.Workers)
	for _, p := range parts {
		g.Go(func() error {
			start := time.Now()
			p.err = guard.Do(func() (err error) { p.body, p.origin, err = p.get(ctx); return err })
			p.took = time.Since(start)
			return nil // a part's failure is its own
		})
	}
	_ = g.Wait() // never an error
}

func (s *Server) replyParts(r *request, chat string, parts []*part) error {
	reply := map[string]any{"chat_id": chat} // all but the parts that came
	held, timings, failed := map[string]cache.Served{}, map[string]float64{}, map[string]*wire.Problem{}
	came, size := 0, 0
	if !slices.ContainsFunc(parts, func(p *part) bool { return p.name == wire.PartOdoo }) {
		reply[wire.PartOdoo] = struct{}{}
	}
	var header []timing
	for _, p := range parts {
		timings[p.name] = milliseconds(p.took)
		header = append(header, timing{p.name, p.took})
		if p.err != nil {
			failed[p.name] = s.problemOf(p.err)
			continue
		}
		came++
		size += len(`,"":`) + len(p.name) + len(p.body)
		held[p.name] = p.origin.Served
		for piece, problem := range p.failed {
			failed[p.name+"."+piece] = problem
		}
	}
	r.timings(header...)
	if came == 0 {
		return allFailed(failed)
	}
	if len(failed) > 0 {
		reply["errors"] = failed
	}
	reply["cache"], reply["timings"] = held, timings
	rest, err := encode(reply)
	if err != nil {
		return err
	}
	// The parts are JSON already, and may be large: they are joined in one piece of memory.
	body := append(make([]byte, 0, size+len(rest)), rest[:len(rest)-1]...)
	for _, p := range parts {
		if p.err == nil {
			body = append(append(append(append(body, `,"`...), p.name...), `":`...), p.body...)
			p.body = nil
		}
	}
	r.answer(http.StatusOK, append(body, '}'))
	return nil
}

// allFailed is the problem of a call of which no part came. It says why in one line, and of each part under errors.
func allFailed(parts map[string]*wire.Problem) *wire.Problem {
	var why []string
	retryable := true
	for _, p := range parts {
		why = append(why, p.Detail)
		retryable = retryable && p.Retryable
	}
	slices.Sort(why)
	p := problem(http.StatusBadGateway, "preprocess", strings.Join(slices.Compact(why), "; "))
	p.Errors, p.Retryable = parts, retryable
	return p
}

func (o *object) has(name string) bool {
	raw, ok := o.fields[name]
	return ok && string(raw) != "null"
}
