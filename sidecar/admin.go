package sidecar

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"hearth/client/wire"
	"hearth/internal/guard"
	"hearth/pool"
	"hearth/pool/odoo"
)

func (s *Server) dropCache(r *request) error {
	byChat, byModel := r.query.Has("chat"), r.query.Has("model")
	chat, model := string(r.query.Peek("chat")), string(r.query.Peek("model"))
	var n int
	switch {
	case byChat && byModel:
		return wire.BadField("model", "does not go with chat")
	case byChat:
		if refusal := checkChat(chat); refusal != nil {
			refusal.Field = "chat"
			return refusal
		}
		names, err := s.chatNames(r.ctx, chat)
		if err != nil {
			return err
		}
		for _, name := range names {
			n += s.cfg.Cache.DropChat(name)
		}
	case byModel:
		if !odoo.ValidModel(model) {
			return wire.BadField("model", "must be a model's name such as res.partner")
		}
		n = s.cfg.Cache.DropModel(model)
	default:
		n = s.cfg.Cache.DropAll()
	}
	return r.send(http.StatusOK, wire.Dropped{Dropped: n})
}

func (s *Server) health(r *request) error {
	return r.send(http.StatusOK, map[string]string{"status": "ok"})
}

// upstream is an upstream's state in the reply of /readyz.
type upstream struct {
	State  string `json:"state"` // reached, not reached, not configured
	Detail string `json:"detail,omitempty"`
}

// readyTimeout bounds the questions of one call of /readyz.
const readyTimeout = 5 * time.Second

// ready answers 200 once every configured upstream has answered what requests will ask. It asks where nobody has yet; calls
// at the same time share one question.
func (s *Server) ready(r *request) error {
	states := map[string]upstream{}
	if s.cfg.Weaviate == nil {
		states["weaviate"] = upstream{"not configured", s.cfg.NoWeaviate}
	}
	if s.cfg.Odoo == nil {
		states["odoo"] = upstream{"not configured", s.cfg.NoOdoo}
	}
	ctx, cancel := s.cfg.Pulse.WithTimeout(r.ctx, readyTimeout)
	defer cancel()
	var g sync.WaitGroup
	faults := make([]error, len(s.cfg.Upstreams))
	for i, u := range s.cfg.Upstreams {
		if !s.reached[i].Load() {
			g.Go(func() {
				_, faults[i], _ = s.asking.Do(u.Name, func() (any, error) {
					return nil, guard.Do(func() error { return u.Ask(ctx) })
				})
				if faults[i] == nil {
					s.reached[i].Store(true)
				}
			})
		}
	}
	g.Wait()
	ok := len(s.cfg.Upstreams) > 0
	for i, u := range s.cfg.Upstreams {
		states[u.Name] = upstream{State: "reached"}
		if faults[i] != nil {
			states[u.Name] = upstream{State: "not reached", Detail: s.problemOf(faults[i]).Detail}
			ok = false
		}
	}
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
	}
	reply := map[string]any{"ready": ok, "upstreams": states}
	if s.cfg.Fault != "" {
		reply["fault"] = s.cfg.Fault
	}
	return r.send(status, reply)
}

func (s *Server) debugCache(r *request) error { return r.send(http.StatusOK, s.cfg.Cache.Stats()) }

func (s *Server) debugPools(r *request) error {
	reply := wire.Pools{}
	for _, u := range s.cfg.Upstreams {
		stats := wire.UpstreamStats{PoolStats: pool.Together(slices.Collect(maps.Values(u.Pools))...)}
		if p := u.Pools["grpc"]; p != nil {
			stats.GRPC = new(p.Stats())
		}
		if p := u.Pools["rest"]; p != nil {
			stats.REST = new(p.Stats())
		}
		reply[u.Name] = stats
	}
	return r.send(http.StatusOK, reply)
}
