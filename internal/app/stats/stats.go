// Package stats shows in a terminal what a Hearth does: hit rates, pools, breakers, the last invocations and advice.
//
// [Ask] asks for it, and [Snapshot.Text] (text.go) writes it for people. The package listens to nothing and keeps nothing.
package stats

import (
	"context"

	"hearth/client"
)

// Snapshot is what a Hearth has done so far.
type Snapshot struct {
	Cache       *client.CacheStats               `json:"cache"`
	Pools       client.Pools                     `json:"pools"`
	Invocations []client.Invocation              `json:"invocations"` // the newest first
	Operations  map[string]client.OperationStats `json:"operations"`
	Advice      []client.Advice                  `json:"advice"`
}

// Ask asks a Hearth for all of it.
func Ask(ctx context.Context, c *client.Client) (s Snapshot, err error) {
	if s.Cache, err = c.CacheStats(ctx); err != nil {
		return s, err
	}
	if s.Pools, err = c.PoolStats(ctx); err != nil {
		return s, err
	}
	all, err := c.Invocations(ctx)
	if err != nil {
		return s, err
	}
	s.Invocations, s.Operations = all.Invocations, all.Operations
	s.Advice, err = c.Advice(ctx)
	return s, err
}
