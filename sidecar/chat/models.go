package chat

import (
	"context"
	"errors"
	"slices"
	"sync"

	"hearth/cache"
	"hearth/internal/guard"
)

// Models holds those of the requested models of Odoo that could be loaded.
type Models struct {
	Object []byte           // of JSON: each model, a wire.Model, by its name
	Failed map[string]error // by name
	Origin cache.Origin     // of the models in Object together: as old as the oldest of them
}

// HeldModels is Models if all of them are held. It waits for nothing.
func (s *Service) HeldModels(names []string, d cache.Directives) (Models, bool) {
	if s.cfg.Odoo == nil {
		return Models{}, false
	}
	names = s.modelNames(names)
	replies := make([]cache.Reply, len(names))
	for i, name := range names {
		var held bool
		if replies[i], held = s.cfg.Cache.Held(s.modelKey(name), s.cfg.Policies[cache.OdooModels], d); !held {
			return Models{}, false
		}
	}
	got, err := s.joinModels(names, replies, make([]error, len(names)))
	return got, err == nil
}

// Models asks for several models at the same time; without names, for those of the settings. If some fail, the reply holds the
// others. If all fail, the error is that of the only model, or a [*ModelsError].
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
	return s.joinModels(names, replies, errs)
}

func (s *Service) modelNames(asked []string) []string {
	if len(asked) == 0 {
		return s.cfg.OdooModels
	}
	return asked
}

// joinModels joins the replies of the models that came with the errors of the others.
func (s *Service) joinModels(names []string, replies []cache.Reply, errs []error) (Models, error) {
	size := len("{}")
	for i, name := range names {
		size += len(name) + len(`"":,`) + len(replies[i].Body)
	}
	got := Models{
		Object: append(make([]byte, 0, size), '{'),
		Origin: cache.Origin{Served: cache.Hit, TTL: s.cfg.Policies[cache.OdooModels].Fresh},
	}
	for i, name := range names {
		if errs[i] != nil {
			if got.Failed == nil {
				got.Failed = map[string]error{}
			}
			got.Failed[name] = errs[i]
			if !errors.Is(errs[i], cache.ErrNotCached) { // it was asked for
				got.Origin = mergeOrigins(got.Origin, cache.Origin{Served: cache.Miss, Fwd: "miss"})
			}
			continue
		}
		got.Origin = mergeOrigins(got.Origin, replies[i].Origin)
		if len(got.Object) > 1 {
			got.Object = append(got.Object, ',')
		}
		got.Object = append(AppendString(got.Object, name), ':')
		got.Object = append(got.Object, replies[i].Body...)
	}
	if len(got.Object) == 1 && len(names) > 0 {
		return Models{}, noModel(names, got.Failed)
	}
	got.Object = append(got.Object, '}')
	return got, nil
}

func noModel(names []string, failed map[string]error) error {
	if len(failed) == 1 {
		return failed[names[0]]
	}
	return &ModelsError{names, failed}
}

func (s *Service) modelKey(name string) cache.Key {
	return cache.ModelKey(name, s.cfg.Odoo.Identity()+"\x00"+name)
}

func (s *Service) model(ctx context.Context, name string, d cache.Directives) (cache.Reply, error) {
	return s.cfg.Cache.Get(ctx, s.modelKey(name), s.cfg.Policies[cache.OdooModels], d, func(ctx context.Context) ([]byte, error) {
		m, err := s.cfg.Odoo.Model(ctx, name)
		if err != nil {
			return nil, err
		}
		display, err := Encode(m.Name)
		if err != nil {
			return nil, err
		}
		return around(`{"name":`+string(display)+`,"fields":`, m.Fields, `}`)
	})
}

// mergeOrigins is the origin of a reply that is made of two. It is as old as the older one; stale if one of them is stale, else
// fetched if one of them was fetched.
func mergeOrigins(a, b cache.Origin) cache.Origin {
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
