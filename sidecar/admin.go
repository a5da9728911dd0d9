package sidecar

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"hearth/client/wire"
	"hearth/internal/guard"
	"hearth/pool"
	"hearth/pool/odoo"
)

func (s *Server) dropCache(r *request) error {
	byChat, byModel := r.has("chat"), r.has("model")
	chat, model := r.parameter("chat"), string(r.parameter("model"))
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
		if n, err = s.cfg.Chat.DropChat(string(chat)); err != nil {
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
	return r.sendJSON(http.StatusOK, wire.Health{Status: "ok"})
}

// readyTimeout is how long one call of /readyz waits for the upstreams, and how long a question of it may take.
const readyTimeout = 5 * time.Second

// ready answers 200 once every configured upstream has answered what requests will ask. It asks those that have not answered
// yet; calls at the same time share one question.
func (s *Server) ready(r *request) error {
	errs := s.reach(r.waitContext(min(readyTimeout, r.readTime())), r.serverCtx)
	reply := wire.Readiness{Upstreams: map[string]wire.UpstreamState{}, Fault: s.cfg.Fault}
	configured, failed := 0, 0
	for i, u := range s.cfg.Upstreams {
		state := wire.UpstreamState{State: wire.StateReached}
		switch {
		case u.Missing != "":
			state = wire.UpstreamState{State: wire.StateNotConfigured, Detail: u.Missing}
		case errs[i] != nil:
			state = wire.UpstreamState{State: wire.StateNotReached, Detail: s.problemOf(errs[i]).Detail}
			failed++
			fallthrough
		default:
			configured++
		}
		reply.Upstreams[u.Name] = state
	}
	reply.Ready = configured > 0 && failed == 0
	status := http.StatusOK
	if !reply.Ready {
		status = http.StatusServiceUnavailable
	}
	return r.sendJSON(status, reply)
}

// reach asks the upstreams that have not answered yet, at the same time. It returns the error of each upstream, in the order of the
// upstreams. Calls share a question under way. So the question ends by its own timeout or with the server, and not with the call that
// began it.
func (s *Server) reach(ctx, server context.Context) []error {
	errs := make([]error, len(s.cfg.Upstreams))
	asked := make([]<-chan singleflight.Result, len(s.cfg.Upstreams))
	for i, u := range s.cfg.Upstreams {
		if u.Missing != "" || s.reached[i].Load() {
			continue
		}
		asked[i] = s.asking.DoChan(u.Name, func() (any, error) {
			ctx, cancel := s.cfg.Pulse.WithTimeout(server, readyTimeout)
			defer cancel()
			err := guard.Do(func() error { return u.Ask(ctx) })
			if err == nil {
				s.reached[i].Store(true)
			}
			return nil, err
		})
	}
	for i, answer := range asked {
		if answer == nil {
			continue
		}
		select {
		case got := <-answer:
			errs[i] = got.Err
		case <-ctx.Done():
			errs[i] = context.Cause(ctx)
		}
	}
	return errs
}

func (s *Server) debugCache(r *request) error { return r.sendJSON(http.StatusOK, s.cfg.Cache.Stats()) }

func (s *Server) debugPools(r *request) error { return r.sendJSON(http.StatusOK, s.pools()) }

// pools are the statistics of all upstreams.
func (s *Server) pools() wire.Pools {
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
	if s.cfg.Fetch != nil {
		for origin, p := range s.cfg.Fetch.Pools() {
			reply[origin] = wire.UpstreamStats{PoolStats: p.Stats()}
		}
	}
	return reply
}
