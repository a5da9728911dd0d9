package chat

import (
	"context"
	"errors"
	"sync"
	"time"

	"hearth/cache"
	"hearth/internal/clock"
	"hearth/internal/guard"
)

// Models holds those of the requested models of Odoo that could be loaded.
type Models struct {
	List   []Model          // in the order of the request
	Failed map[string]error // by name
	Origin cache.Origin     // of the models in List together: as old as the oldest of them
}

// Model is one model of Odoo.
type Model struct {
	Name string
	JSON []byte // a wire.Model
}

// AppendModels appends models as a JSON object, each under its name.
func AppendModels(b []byte, models []Model) []byte {
	b = append(b, '{')
	for i, model := range models {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(AppendString(b, model.Name), ':'), model.JSON...)
	}
	return append(b, '}')
}

// HeldModels returns what Models would, if all of the models are in memory and the request accepts them. It never waits. If it
// returns false, call Models.
func (s *Service) HeldModels(now clock.Instant, names []string, d cache.Directives) (Models, bool) {
	if s.cfg.Odoo == nil {
		return Models{}, false
	}
	names = s.modelNames(names)
	const usual = 4 // models
	keys := make([]cache.Key, 0, usual)
	for _, name := range names {
		keys = append(keys, s.modelKey(name))
	}
	replies, held := s.cfg.Cache.HeldAll(now, keys, s.cfg.Policies[cache.OdooModels], d, make([]cache.Reply, 0, usual))
	if !held {
		return Models{}, false
	}
	got := Models{List: make([]Model, 0, len(names)), Origin: s.noModels()}
	for i, name := range names {
		got.add(name, replies[i])
	}
	return got, true
}

// Models asks for several models at the same time; without names, for those of the settings. If some fail, the reply holds the
// others. If all fail, the error is that of the only model, or a [*ModelsError]. That a model does not exist may be held: the origin counts it
// in, also beside an error.
func (s *Service) Models(ctx context.Context, names []string, d cache.Directives) (Models, error) {
	if s.cfg.Odoo == nil {
		return Models{}, &NotConfiguredError{"odoo", s.cfg.NoOdoo}
	}
	names = s.modelNames(names)
	replies, errs := make([]cache.Reply, len(names)), make([]error, len(names))
	var g sync.WaitGroup
	for i, name := range names {
		g.Go(func() {
			replies[i], errs[i] = guard.Get(func() (cache.Reply, error) { return s.model(ctx, name, d) })
		})
	}
	g.Wait()
	got, unknown := Models{Failed: map[string]error{}, Origin: s.noModels()}, false
	for i, name := range names {
		if errs[i] == nil {
			got.add(name, replies[i])
			continue
		}
		got.Failed[name] = errs[i]
		switch held := replies[i].Origin; {
		case held.Served != "": // there is no such model
			got.Origin = mergeOrigins(got.Origin, held)
		case errors.Is(errs[i], cache.ErrNotCached):
			unknown = true
		default: // it was asked for
			got.Origin = mergeOrigins(got.Origin, cache.Origin{Served: cache.Miss, Fwd: "miss"})
		}
	}
	if len(got.List) == 0 && len(names) > 0 {
		if unknown {
			got.Origin = cache.Origin{}
		}
		return Models{Origin: got.Origin}, noModel(names, got.Failed)
	}
	return got, nil
}

func (s *Service) modelNames(asked []string) []string {
	if len(asked) == 0 {
		return s.cfg.OdooModels
	}
	return asked
}

// noModels is the origin of a reply without models.
func (s *Service) noModels() cache.Origin {
	return cache.Origin{Served: cache.Hit, TTL: s.cfg.Policies[cache.OdooModels].Fresh}
}

func (m *Models) add(name string, reply cache.Reply) {
	m.List = append(m.List, Model{name, reply.Body})
	m.Origin = mergeOrigins(m.Origin, reply.Origin)
}

func noModel(names []string, failed map[string]error) error {
	if len(failed) == 1 {
		return failed[names[0]]
	}
	return &ModelsError{names, failed}
}

func (s *Service) modelKey(name string) cache.Key { return cache.ModelKey(name, s.cfg.Odoo.Identity()) }

func (s *Service) model(ctx context.Context, name string, d cache.Directives) (got cache.Reply, err error) {
	defer s.waited(ctx, "odoo", time.Now(), &err)
	return s.cfg.Cache.Get(ctx, s.modelKey(name), s.cfg.Policies[cache.OdooModels], d, func(ctx context.Context) ([]byte, error) {
		m, err := s.cfg.Odoo.Model(ctx, name)
		if err != nil {
			return nil, err
		}
		display, err := Encode(m.Name)
		if err != nil {
			return nil, err
		}
		return around(`{"name":`+string(display)+`,"fields":`, m.Fields, `}`), nil
	})
}

// mergeOrigins is the origin of a reply that is made of two. It is as old as the older one; stale if one of them is stale, else
// fetched if one of them was fetched.
func mergeOrigins(a, b cache.Origin) cache.Origin {
	o := a
	if rank(b.Served) > rank(a.Served) {
		o = b
	}
	o.Age, o.TTL = max(a.Age, b.Age), min(a.TTL, b.TTL)
	return o
}

func rank(s cache.Served) int {
	switch s {
	case cache.Stale:
		return 2
	case cache.Miss:
		return 1
	default:
		return 0
	}
}
