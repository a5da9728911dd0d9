package chat

import (
	"context"
	"encoding/json"
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

// Models asks for several models at the same time; without names, for those of the settings. If some fail, the reply holds the
// others. If all fail, the error is that of the only model, or a [*ModelsError].
func (s *Service) Models(ctx context.Context, names []string, d cache.Directives) (Models, error) {
	if s.cfg.Odoo == nil {
		return Models{}, &NotConfiguredError{"odoo", s.cfg.NoOdoo}
	}
	if len(names) == 0 {
		names = s.cfg.OdooModels
	}
	replies, errs := make([]cache.Reply, len(names)), make([]error, len(names))
	var g sync.WaitGroup
	for i, name := range names {
		g.Go(func() {
			replies[i], errs[i] = guard.Get(func() (cache.Reply, error) { return s.model(ctx, name, d) })
		})
	}
	g.Wait()
	got := Models{
		Object: []byte("{"),
		Failed: map[string]error{},
		Origin: cache.Origin{Served: cache.Hit, TTL: s.cfg.Policies[cache.OdooModels].Fresh},
	}
	for i, name := range names {
		if errs[i] != nil {
			got.Failed[name] = errs[i]
			if !errors.Is(errs[i], cache.ErrNotCached) { // it was asked for
				got.Origin = mergeOrigins(got.Origin, cache.Origin{Served: cache.Miss, Fwd: "miss"})
			}
			continue
		}
		got.Origin = mergeOrigins(got.Origin, replies[i].Origin)
		quoted, err := json.Marshal(name)
		if err != nil {
			return Models{}, err
		}
		if len(got.Object) > 1 {
			got.Object = append(got.Object, ',')
		}
		got.Object = append(append(append(got.Object, quoted...), ':'), replies[i].Body...)
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

func (s *Service) model(ctx context.Context, name string, d cache.Directives) (cache.Reply, error) {
	key := cache.ModelKey(name, s.cfg.Odoo.Identity()+"\x00"+name)
	return s.cfg.Cache.Get(ctx, key, s.cfg.Policies[cache.OdooModels], d, func(ctx context.Context) ([]byte, error) {
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
