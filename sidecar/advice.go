package sidecar

import (
	"net/http"
	"runtime/metrics"

	"hearth/client/wire"
	"hearth/internal/monitor/advice"
	"hearth/pool"
)

// advice says what to change in the settings, by what was measured since the start.
func (s *Server) advice(r *request) error {
	m := advice.Measured{
		Settings: s.cfg.Advice, Cache: s.cfg.Cache.Stats(), Lapsed: s.cfg.Cache.Lapsed(), Pools: s.pools(), Crowds: map[string]pool.Crowd{},
		Mixing: s.cfg.Mixing(), Workers: s.cfg.Waits.Counts(), Invocations: s.cfg.Monitor.Invocations(), Memory: memoryInUse(),
	}
	m.ShortReads, m.MostWanted = s.cfg.Cache.ShortReads()
	for _, u := range s.cfg.Upstreams {
		for _, p := range u.Pools { // they share a limit
			m.Crowds[u.Name] = p.Crowd()
		}
	}
	return r.sendJSON(http.StatusOK, wire.Advices{Advice: advice.Of(m)})
}

// memoryInUse is how many bytes the Go runtime has from the system: those that the memory limit bounds.
func memoryInUse() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64()) //nolint:gosec // it fits
}
