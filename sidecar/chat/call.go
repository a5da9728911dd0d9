package chat

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"hearth/cache"
	"hearth/internal/clock"
	"hearth/pool"
	"hearth/pool/odoo"
)

// IsRead says whether a method of Odoo is one that [Service.Read] calls. Every other one may change something.
func (s *Service) IsRead(method string) bool { return s.cfg.Odoo != nil && s.cfg.Odoo.IsRead(method) }

// HeldRead returns what Read would, if that is in memory and the request accepts it. It never
// waits. If it returns false, call Read.
func (s *Service) HeldRead(now clock.Instant, call odoo.Call, d cache.Directives) (cache.Reply, bool) {
	if s.cfg.Odoo == nil {
		return cache.Reply{}, false
	}
	key, err := recordKey(s.cfg.Odoo.Identity(), call)
	if err != nil {
		return cache.Reply{}, false
	}
	return s.cfg.Cache.Held(now, key, s.cfg.Policies[cache.OdooRead], d)
}

// Read calls a method that changes nothing. The reply's body is a wire.Result.
func (s *Service) Read(ctx context.Context, call odoo.Call, d cache.Directives) (got cache.Reply, err error) {
	defer s.waited(ctx, "odoo", time.Now(), &err)
	if s.cfg.Odoo == nil {
		return cache.Reply{}, &NotConfiguredError{"odoo", s.cfg.NoOdoo}
	}
	key, err := recordKey(s.cfg.Odoo.Identity(), call)
	if err != nil {
		return cache.Reply{}, err
	}
	return s.cfg.Cache.Get(ctx, key, s.cfg.Policies[cache.OdooRead], d,
		func(ctx context.Context) ([]byte, error) { return s.call(ctx, call) })
}

// Write calls a method that may change something. It is sent at most once. Afterwards the cache forgets every record of every
// model, because Odoo computes fields across models, and that the called model does not exist; also if the call failed, because it may
// have been done. Only a call that was certainly not sent leaves the cache as it is: in an outage it has what can still be
// served. The body is a wire.Result.
func (s *Service) Write(ctx context.Context, call odoo.Call) (body []byte, err error) {
	defer s.waited(ctx, "odoo", time.Now(), &err)
	if s.cfg.Odoo == nil {
		return nil, &NotConfiguredError{"odoo", s.cfg.NoOdoo}
	}
	body, err = s.call(ctx, call)
	if e, unanswered := errors.AsType[*pool.Error](err); !unanswered || e.Sent {
		s.cfg.Cache.DropRecords()
		s.cfg.Cache.DropMissing(s.modelKey(call.Model))
	}
	return body, err
}

func (s *Service) call(ctx context.Context, call odoo.Call) ([]byte, error) {
	result, err := s.cfg.Odoo.Call(ctx, call)
	if err != nil {
		return nil, err
	}
	return around(`{"result":`, result, `}`), nil
}

// recordKey names what a read brings.
func recordKey(identity string, call odoo.Call) (cache.Key, error) {
	id, err := callID(identity, call)
	if err != nil {
		return cache.Key{}, err
	}
	key := cache.RecordKey(call.Model, id)
	key.LoadBytes = callBytes(call)
	return key, nil
}

// callBytes is roughly how much memory a call holds while it is loaded.
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

// callID is the same for two reads whose results are the same. It holds everything that a result depends on, and Odoo's context
// too. Only the names of kwargs are sorted: their order has no meaning.
func callID(identity string, call odoo.Call) (string, error) {
	b, err := json.Marshal([]any{identity, call.Model, call.Method, call.Args, call.Kwargs}) // it compacts what is JSON already
	return string(b), err
}
