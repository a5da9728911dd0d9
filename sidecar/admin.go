package sidecar

import (
	"net/http"

	"hearth/client"
	"hearth/pool"
	"hearth/pool/odoo"
)

func (s *Server) dropCache(r *request) error {
	byChat, byModel := r.query.Has("chat"), r.query.Has("model")
	chat, model := string(r.query.Peek("chat")), string(r.query.Peek("model"))
	var n int
	switch {
	case byChat && byModel:
		return badField("model", "does not go with chat")
	case byChat:
		if refusal := checkChat(chat); refusal != nil {
			refusal.Field = "chat"
			return refusal
		}
		n = s.cfg.Cache.DropChat(chat)
	case byModel:
		if !odoo.ValidModel(model) {
			return badField("model", "must be a model's name such as res.partner")
		}
		n = s.cfg.Cache.DropModel(model)
	default:
		n = s.cfg.Cache.DropAll()
	}
	return r.send(http.StatusOK, client.Dropped{Dropped: n})
}

func (s *Server) health(r *request) error {
	return r.send(http.StatusOK, map[string]string{"status": "ok"})
}

// upstream is an upstream's state in the reply of /readyz.
type upstream struct {
	State  string `json:"state"` // reached, not reached, not configured
	Detail string `json:"detail,omitempty"`
}

// ready answers 200 once every configured upstream was reached.
func (s *Server) ready(r *request) error {
	states := map[string]upstream{}
	if s.cfg.Weaviate == nil {
		states["weaviate"] = upstream{"not configured", s.cfg.NoWeaviate}
	}
	if s.cfg.Odoo == nil {
		states["odoo"] = upstream{"not configured", s.cfg.NoOdoo}
	}
	ok := len(s.cfg.Pools) > 0
	for _, p := range s.cfg.Pools {
		states[p.Name()] = upstream{State: "reached"}
		if p.Stats().RoundTrip.Count == 0 {
			states[p.Name()] = upstream{State: "not reached"}
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
	pools := map[string]pool.Stats{}
	for _, p := range s.cfg.Pools {
		pools[p.Name()] = p.Stats()
	}
	return r.send(http.StatusOK, pools)
}
