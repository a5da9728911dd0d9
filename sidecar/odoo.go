package sidecar

import (
	"bytes"
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
	"hearth/pool/odoo"
)

const maxModels = 50 // of one request

func (s *Server) odooModels(r *request) error {
	names := s.cfg.OdooModels
	if r.query.Has("names") {
		names = splitNames(string(r.query.Peek("names")))
		if len(names) == 0 || len(names) > maxModels {
			return wire.BadField("names", "must be 1 to 50 models, separated by commas")
		}
		for _, n := range names {
			if !odoo.ValidModel(n) {
				return wire.BadField("names", "must hold names of models such as res.partner")
			}
		}
	}
	got, err := s.getModels(r.ctx, names, r.directives)
	if err != nil {
		return err
	}
	body := append(append([]byte(`{"models":`), got.object...), '}')
	if len(got.failed) > 0 {
		failed, err := encode(got.failed)
		if err != nil {
			return err
		}
		body = append(append(append(body[:len(body)-1], `,"errors":`...), failed...), '}')
	}
	return r.reply("odoo", cache.Reply{Body: body, ETag: cache.ETag(body), Origin: got.origin})
}

func splitNames(list string) (names []string) {
	for n := range strings.SplitSeq(list, ",") {
		if n = strings.TrimSpace(n); n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// models are those of several that came.
type models struct {
	object []byte                   // of JSON, by name
	failed map[string]*wire.Problem // by name
	origin cache.Origin
}

// getModels brings several models at the same time. One that cannot be had leaves the others alone; if none can, that is
// the error. What came is as old as the oldest of it.
func (s *Server) getModels(ctx context.Context, names []string, d cache.Directives) (models, error) {
	if s.cfg.Odoo == nil {
		return models{}, s.notConfigured("odoo", s.cfg.NoOdoo)
	}
	replies, errs := make([]cache.Reply, len(names)), make([]error, len(names))
	var g errgroup.Group
	for i, name := range names {
		g.Go(func() error {
			errs[i] = guard.Do(func() (err error) { replies[i], err = s.getModel(ctx, name, d); return err })
			return nil // a model's failure is its own
		})
	}
	_ = g.Wait() // never an error
	got := models{
		object: []byte("{"),
		failed: map[string]*wire.Problem{},
		origin: cache.Origin{Served: cache.Hit, TTL: s.cfg.Policies[cache.OdooModels].Fresh},
	}
	for i, name := range names {
		if errs[i] != nil {
			got.failed[name] = s.problemOf(errs[i])
			if !errors.Is(errs[i], cache.ErrNotCached) { // it was asked for
				got.origin = together(got.origin, cache.Origin{Served: cache.Miss, Fwd: "miss"})
			}
			continue
		}
		got.origin = together(got.origin, replies[i].Origin)
		quoted, err := json.Marshal(name)
		if err != nil {
			return models{}, err
		}
		if len(got.object) > 1 {
			got.object = append(got.object, ',')
		}
		got.object = append(append(append(got.object, quoted...), ':'), replies[i].Body...)
	}
	if len(got.object) == 1 {
		return models{}, noModel(names, got.failed)
	}
	got.object = append(got.object, '}')
	return got, nil
}

// noModel is the problem of a call of which no model came: the gravest of them, and where there are several, each under
// errors.
func noModel(names []string, failed map[string]*wire.Problem) *wire.Problem {
	gravest := failed[names[0]]
	for _, name := range names[1:] {
		if p := failed[name]; p.Status > gravest.Status {
			gravest = p
		}
	}
	p := *gravest
	if len(failed) > 1 {
		p.Errors = failed
	}
	return &p
}

func (s *Server) getModel(ctx context.Context, name string, d cache.Directives) (cache.Reply, error) {
	key := cache.ModelKey(name, s.cfg.Odoo.Identity()+"\x00"+name)
	return s.cfg.Cache.Get(ctx, key, s.cfg.Policies[cache.OdooModels], d, func(ctx context.Context) ([]byte, error) {
		m, err := s.cfg.Odoo.Model(ctx, name)
		if err != nil {
			return nil, err
		}
		display, err := encode(m.Name)
		if err != nil {
			return nil, err
		}
		return around(`{"name":`+string(display)+`,"fields":`, m.Fields, `}`)
	})
}

// around writes a JSON value between two texts, in one piece of memory: an answer of Odoo's may be large.
func around(before string, value json.RawMessage, after string) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(before) + len(value) + len(after))
	b.WriteString(before)
	if err := json.Compact(&b, value); err != nil {
		return nil, err
	}
	b.WriteString(after)
	return b.Bytes(), nil
}

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
	r.answer(http.StatusOK, body)
	return nil
}

func (s *Server) callOdoo(ctx context.Context, call odoo.Call) ([]byte, error) {
	result, err := s.cfg.Odoo.Call(ctx, call)
	if err != nil {
		return nil, err
	}
	return around(`{"result":`, result, `}`)
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
