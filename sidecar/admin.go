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
		var err error
		if n, err = s.cfg.Chat.DropChat(r.ctx, chat); err != nil {
			return err
		}
	case byModel:
		if !odoo.ValidModel(model) {
			return wire.BadField("model", "must be a model's name such as res.partner")
		}
		n = s.cfg.Chat.DropModel(model)
	default:
		n = s.cfg.Chat.DropAll()
	}
	return r.sendJSON(http.StatusOK, wire.Dropped{Dropped: n})
}

func (s *Server) health(r *request) error {
	return r.sendJSON(http.StatusOK, map[string]string{"status": "ok"})
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
	ctx, cancel := s.cfg.Pulse.WithTimeout(r.ctx, readyTimeout)
	defer cancel()
	var g sync.WaitGroup
	faults := make([]error, len(s.cfg.Upstreams))
	for i, u := range s.cfg.Upstreams {
		if u.Missing == "" && !s.reached[i].Load() {
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
	ok := slices.ContainsFunc(s.cfg.Upstreams, func(u Upstream) bool { return u.Missing == "" })
	for i, u := range s.cfg.Upstreams {
		if u.Missing != "" {
			states[u.Name] = upstream{"not configured", u.Missing}
			continue
		}
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
	return r.sendJSON(status, reply)
}

func (s *Server) debugCache(r *request) error { return r.sendJSON(http.StatusOK, s.cfg.Cache.Stats()) }

func (s *Server) debugPools(r *request) error {
	reply := wire.Pools{}
	for _, u := range s.cfg.Upstreams {
		if u.Missing != "" {
			continue
		}
		stats := wire.UpstreamStats{PoolStats: pool.Together(slices.Collect(maps.Values(u.Pools))...)}
		if p := u.Pools["grpc"]; p != nil {
			stats.GRPC = new(p.Stats())
		}
		if p := u.Pools["rest"]; p != nil {
			stats.REST = new(p.Stats())
		}
		reply[u.Name] = stats
	}
	return r.sendJSON(http.StatusOK, reply)
}
