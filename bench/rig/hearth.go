package rig

import (
	"context"
	"slices"

	"hearth/bench/load"
)

// Token is what callers of Hearth and its peers bring.
const Token = "a-token-of-some-32-bytes-0123456"

// Hearth is a running sidecar that holds the replies to [Calls]. Stop its process.
type Hearth struct {
	*Process

	Address string // TCP
	Socket  string // Unix
}

// StartHearth starts a binary of Hearth with the settings beside those that every run has, and waits until both of its listeners
// answer. What Hearth holds stays fresh for the whole run.
func (r *Rig) StartHearth(ctx context.Context, binary string, settings ...string) (*Hearth, error) {
	address, err := r.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	h := &Hearth{Address: address, Socket: r.Socket()}
	env := slices.Concat(r.Settings(), []string{
		"HEARTH_ADDR=" + h.Address, "HEARTH_SOCKET=" + h.Socket, "HEARTH_TOKEN=" + Token,
		"HEARTH_TTL_HISTORY=24h", "HEARTH_TTL_MUTE=24h", "HEARTH_TTL_RELEVANT=24h", "HEARTH_TTL_ODOO_READ=24h", "HEARTH_TTL_ODOO_MODELS=24h",
	}, settings)
	if h.Process, err = r.Start(ctx, env, binary); err != nil {
		return nil, err
	}
	for _, probe := range []func(context.Context) error{Listens("unix", h.Socket), Listens("tcp", h.Address)} {
		if err := h.Ready(ctx, probe); err != nil {
			h.Stop()
			return nil, err
		}
	}
	return h, nil
}

// Job is a round of load on Hearth by the network tcp or unix: a call, and the reply that it has.
func (h *Hearth) Job(network string, call Call, reply Reply) load.Job {
	return Job(network, h.Address, h.Socket, call, reply)
}

// Job is a round of load on a server that listens at an address and a socket.
func Job(network, address, socket string, call Call, reply Reply) load.Job {
	if network == "unix" {
		address = socket
	}
	return load.Job{
		Network: network, Address: address, Protocol: load.HTTP, Request: call.Request, Body: reply.Body, Varies: reply.Varies,
	}
}
