package main

import (
	"context"

	"hearth/internal/testing/testnet"
)

// fault is a way in which the upstreams fail.
type fault struct {
	name     string
	short    bool // it belongs to the short form
	times    int  // rounds of each kind; 0: one
	fittings fittings
	// strike begins the fault, and lift ends it; a nil lift: it has ended by itself.
	strike func(context.Context, *rig) (lift func() error, err error)
}

func faults() []fault {
	return []fault{
		{name: "nothing", short: true, strike: func(context.Context, *rig) (func() error, error) { return nil, nil }},
		{name: "reset", short: true, strike: func(_ context.Context, g *rig) (func() error, error) {
			for _, s := range g.upstreams.Servers() {
				s.Wire.Cut(testnet.RST)
			}
			return nil, nil
		}},
	}
}
