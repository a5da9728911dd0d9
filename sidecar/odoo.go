package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"hearth/cache"
	"hearth/client"
	"hearth/internal/guard"
	"hearth/pool/odoo"
)

// modelsPrefix and its closing brace stand around the models in the reply; preprocess takes the models alone.
const modelsPrefix = `{"models":`

const maxModels = 50 // of one request

func (s *Server) odooModels(r *request) error {
	names := s.cfg.OdooModels
	if r.query.Has("names") {
		names = splitNames(string(r.query.Peek("names")))
		if len(names) == 0 || len(names) > maxModels {
			return badField("names", "must be 1 to 50 models, separated by commas")
		}
		for _, n := range names {
			if !odoo.ValidModel(n) {
				return badField("names", "must hold names of models such as res.partner")
			}
		}
	}
	got, err := s.getModels(r.ctx, names, r.directives)
	if err != nil {
		return err
	}
	return r.reply("odoo", got)
}

func splitNames(list string) (names []string) {
	for n := range strings.SplitSeq(list, ",") {
		if n = strings.TrimSpace(n); n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// getModels brings several models at the same time. The reply is as old as the oldest of them.
func (s *Server) getModels(ctx context.Context, names []string, d cache.Directives) (cache.Reply, error) {
	if s.cfg.Odoo == nil {
		return cache.Reply{}, s.notConfigured("odoo", s.cfg.NoOdoo)
	}
	replies := make([]cache.Reply, len(names))
	g, gctx := errgroup.WithContext(ctx)
	for i, name := range names {
		g.Go(func() error {
			return guard.Do(func() (err error) { replies[i], err = s.getModel(gctx, name, d); return err })
		})
	}
	if err := g.Wait(); err != nil {
		return cache.Reply{}, err
	}
	origin := cache.Origin{Served: cache.Hit, TTL: s.cfg.Policies[cache.OdooModels].Fresh}
	body := []byte(modelsPrefix + "{")
	for i, name := range names {
		if i > 0 {
			body = append(body, ',')
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return cache.Reply{}, err
		}
		body = append(append(append(body, quoted...), ':'), replies[i].Body...)
		origin = together(origin, replies[i].Origin)
	}
	body = append(body, "}}"...)
	return cache.Reply{Body: body, ETag: cache.ETag(body), Origin: origin}, nil
}

func (s *Server) getModel(ctx context.Context, name string, d cache.Directives) (cache.Reply, error) {
	key := cache.ModelKey(name, s.cfg.Odoo.Identity()+"\x00"+name)
	return s.cfg.Cache.Get(ctx, key, s.cfg.Policies[cache.OdooModels], d, func(ctx context.Context) ([]byte, error) {
		m, err := s.cfg.Odoo.Model(ctx, name)
		if err != nil {
			return nil, err
		}
		return encode(client.Model(m))
	})
}

func modelsObject(reply []byte) []byte { return reply[len(modelsPrefix) : len(reply)-1] }

// together is the origin of a reply made of two: as old as the older one, stale if one is, else fetched if one was.
func together(a, b cache.Origin) cache.Origin {
	rank := func(o cache.Origin) int {
		return slices.Index([]cache.Served{cache.Hit, cache.Miss, cache.Stale}, o.Served)
	}
	o := a
	if rank(b) > rank(a) {
		o = b
	}
	o.Age, o.TTL = max(a.Age, b.Age), min(a.TTL, b.TTL)
	return o
}

func (s *Server) odooCall(r *request) error {
	o := decodeObject(r.body, "")
	call := odoo.Call{Model: o.requiredText("model"), Method: o.requiredText("method")}
	o.into("args", &call.Args, "an array")
	o.into("kwargs", &call.Kwargs, "an object")
	read := s.cfg.Odoo != nil && s.cfg.Odoo.IsRead(call.Method)
	if !read {
		o.strict()
	}
	if err := o.err(); err != nil {
		return err
	}
	if s.cfg.Odoo == nil {
		return s.notConfigured("odoo", s.cfg.NoOdoo)
	}
	if !read {
		return s.odooWrite(r, call)
	}
	id, err := callID(s.cfg.Odoo.Identity(), call)
	if err != nil {
		return err
	}
	key := cache.RecordKey(call.Model, id)
	key.LoadBytes = callBytes(call)
	got, err := s.cfg.Cache.Get(r.ctx, key, s.cfg.Policies[cache.OdooRead], r.directives,
		func(ctx context.Context) ([]byte, error) { return s.callOdoo(ctx, call) })
	if err != nil {
		return err
	}
	return r.reply("odoo", got)
}

// odooWrite runs a method that may change something. Odoo computes fields across models, so every record read
// before is forgotten, also when the outcome is unknown.
func (s *Server) odooWrite(r *request, call odoo.Call) error {
	body, err := s.callOdoo(r.ctx, call)
	s.cfg.Cache.DropRecords()
	if err != nil {
		return err
	}
	r.timings(timing{"odoo", time.Since(r.started)})
	r.SetStatusCode(http.StatusOK)
	r.SetContentType("application/json")
	r.SetBody(body)
	return nil
}

func (s *Server) callOdoo(ctx context.Context, call odoo.Call) ([]byte, error) {
	result, err := s.cfg.Odoo.Call(ctx, call)
	if err != nil {
		return nil, err
	}
	return encode(client.Result{Result: result})
}

// callBytes is the memory that a call takes.
func callBytes(call odoo.Call) int64 {
	const each = 64 // a slice header, and a map slot or a small allocation
	n := len(call.Model) + len(call.Method)
	for _, a := range call.Args {
		n += each + cap(a)
	}
	for name, a := range call.Kwargs {
		n += each + len(name) + cap(a)
	}
	return int64(n)
}

// callID holds everything that a read's result depends on, the whole context included. Nothing is reordered but
// the names of kwargs, whose order has no meaning.
func callID(identity string, call odoo.Call) (string, error) {
	b, err := json.Marshal([]any{identity, call.Model, call.Method, call.Args, call.Kwargs})
	if err != nil {
		return "", err
	}
	var compact bytes.Buffer
	err = json.Compact(&compact, b)
	return compact.String(), err
}
