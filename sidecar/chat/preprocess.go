package chat

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/clock"
	"hearth/internal/executor"
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

// Answer is the answer to a preprocess.
type Answer struct {
	Chat  string // the chat's name
	Parts []Part // in a fixed order
}

// Part is one part of the answer to a preprocess.
type Part struct {
	Name   string  // as wire.PartMute
	Done   bool    // it is answered, by Body or by Models
	Body   []byte  // JSON
	Models []Model // of wire.PartOdoo
	Origin cache.Origin
	Err    error            // why it did not come
	Failed map[string]error // the pieces that failed, if the part came with the others
	Took   time.Duration    // until it was there; parts that are held are there at the same time
}

// Append appends the part's answer in JSON.
func (p *Part) Append(b []byte) []byte {
	if p.Name == wire.PartOdoo {
		return AppendModels(b, p.Models)
	}
	return append(b, p.Body...)
}

// Size is about how many bytes Append appends.
func (p *Part) Size() int {
	size := len(p.Body)
	for _, m := range p.Models {
		size += len(m.Name) + len(m.JSON)
	}
	return size
}

// HeldParts answers the parts that can be answered from memory, for a request that came now. It never waits. If not all parts are
// done then, call [Service.FetchParts]. HeldParts appends the parts to memory.
func (s *Service) HeldParts(now clock.Instant, q Question, d cache.Directives, memory []Part) (a Answer, all bool) {
	a = Answer{Chat: s.chatName(q.Chat), Parts: memory}
	all = true
	start := time.Now()
	for _, name := range []string{wire.PartMute, wire.PartRelevant, wire.PartOdoo, wire.PartHistory} {
		if name == wire.PartOdoo && !s.wantsModels(q) || name == wire.PartHistory && q.History == nil {
			continue
		}
		p := s.heldPart(now, name, q, d)
		p.Name = name
		a.Parts = append(a.Parts, p)
		all = all && p.Done
	}
	took := time.Since(start)
	for i := range a.Parts {
		a.Parts[i].Took = took
	}
	return a, all
}

// chatName is the name of a chat in the class of messages, if that class is known.
func (s *Service) chatName(spelled string) string {
	if s.cfg.Weaviate == nil {
		return spelled
	}
	return s.cfg.Weaviate.KnownMessageChat(spelled)
}

func (s *Service) wantsModels(q Question) bool {
	return q.Odoo && slices.Contains(s.cfg.OdooRoutes, q.Route)
}

func (s *Service) heldPart(now clock.Instant, name string, q Question, d cache.Directives) (p Part) {
	switch name {
	case wire.PartMute:
		var m wire.Mute
		m, p.Origin, p.Done = s.heldMute(now, []byte(q.Chat), d)
		p.Body = s.muteStatus(m)
	case wire.PartRelevant:
		if q.nothingToSearch() {
			return Part{Done: true, Body: []byte("[]"), Origin: cache.Origin{Served: cache.Hit}}
		}
		var got cache.Reply
		if got, p.Done = s.HeldRelevant(now, q.search(), d); p.Done {
			p.Body, p.Origin = relevantList(got.Body), got.Origin
		}
	case wire.PartOdoo:
		var got Models
		got, p.Done = s.HeldModels(now, nil, d)
		p.Models, p.Origin = got.List, got.Origin
	case wire.PartHistory:
		var got cache.Reply
		got, p.Done = s.HeldHistory(now, []byte(q.Chat), *q.History, d)
		p.Body, p.Origin = got.Body, got.Origin
	}
	return p
}

// FetchParts asks for the parts that are not done. Each part ends with ctx at the latest. Its error is a *[weaviate.ChatIDError].
func (s *Service) FetchParts(ctx context.Context, q Question, d cache.Directives, a *Answer) error {
	s.fetchMissing(ctx, a.Parts, func(ctx context.Context, name string) (Part, error) { return s.fetchPart(ctx, name, q, d) })
	for _, p := range a.Parts {
		if e, wrong := errors.AsType[*weaviate.ChatIDError](p.Err); wrong {
			return e
		}
	}
	a.Chat = s.chatName(q.Chat) // a part has waited for the class
	return nil
}

// fetchMissing fetches the parts that are not done, up to Config.Workers of them at the same time. The failure of a part ends no other
// part, and a part that does not end with ctx is left behind.
func (s *Service) fetchMissing(ctx context.Context, parts []Part, fetch func(ctx context.Context, name string) (Part, error)) {
	var missing []*Part
	var tasks []executor.Task[Part]
	for i := range parts {
		if p := &parts[i]; !p.Done {
			name := p.Name
			missing = append(missing, p)
			tasks = append(tasks, executor.Task[Part]{Do: func(ctx context.Context) (Part, error) { return fetch(ctx, name) }})
		}
	}
	for i, r := range executor.Run(ctx, executor.Options{Workers: s.cfg.Workers, Waits: s.cfg.Waits}, tasks) {
		name := missing[i].Name
		*missing[i] = r.Value
		upstream := "weaviate"
		if name == wire.PartOdoo {
			upstream = "odoo"
		}
		missing[i].Name, missing[i].Done, missing[i].Err, missing[i].Took = name, r.Err == nil, late(upstream, r.Err), r.Took
	}
}

func (s *Service) fetchPart(ctx context.Context, name string, q Question, d cache.Directives) (p Part, err error) {
	switch name {
	case wire.PartMute:
		var m wire.Mute
		m, p.Origin, err = s.mute(ctx, q.Chat, d)
		p.Body = s.muteStatus(m)
	case wire.PartRelevant: // there is something to search: heldPart has answered the others
		var got cache.Reply
		if got, err = s.Relevant(ctx, q.search(), d); err == nil {
			p.Body, p.Origin = relevantList(got.Body), got.Origin
		}
	case wire.PartOdoo:
		var got Models
		got, err = s.Models(ctx, nil, d)
		p.Models, p.Origin, p.Failed = got.List, got.Origin, got.Failed
	case wire.PartHistory:
		var got cache.Reply
		got, err = s.History(ctx, q.Chat, *q.History, d)
		p.Body, p.Origin = got.Body, got.Origin
	}
	if err != nil {
		return Part{}, err
	}
	return p, nil
}

// search is what the question asks for as relevant.
func (q Question) search() weaviate.Query {
	return weaviate.Query{
		Chat: q.Chat, Text: q.Text, Mode: weaviate.Auto, Vector: q.Vector, Roles: []string{wire.RoleUser, wire.RoleAssistant}, Count: q.Count,
	}
}

// nothingToSearch says that there is neither a text nor a vector, as for a picture without a caption.
func (q Question) nothingToSearch() bool { return strings.TrimSpace(q.Text) == "" && q.Vector == nil }

// muteStatus is a [wire.MuteStatus] in JSON.
func (s *Service) muteStatus(m wire.Mute) []byte {
	if m.Muted {
		return s.muted
	}
	return s.notMuted
}
