package speed

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"hearth/bench/rig"
)

// Bare is what the bare server is told: where to listen, which token to ask for, and what to send.
type Bare struct {
	Address, Socket string
	Token           string
	Get, Post       Sent
}

// Sent is a reply without what fasthttp adds by itself.
type Sent struct {
	ContentType string
	Headers     [][2]string
	Body        []byte
}

// sent is a reply of Hearth.
func sent(reply rig.Reply) Sent {
	s := Sent{ContentType: reply.Header.Get("Content-Type"), Body: reply.Body}
	for _, name := range slices.Sorted(maps.Keys(reply.Header)) {
		switch name {
		case "Content-Type", "Content-Length", "Server":
		default:
			s.Headers = append(s.Headers, [2]string{name, reply.Header.Get(name)})
		}
	}
	return s
}

func startBare(ctx context.Context, r *rig.Rig, get, post rig.Reply) (told Bare, stop func(), err error) {
	program, err := r.Build(ctx, "cmd/bare")
	if err != nil {
		return told, nil, err
	}
	told = Bare{Socket: r.Socket(), Token: rig.Token, Get: sent(get), Post: sent(post)}
	if told.Address, err = r.FreeAddress(ctx); err != nil {
		return told, nil, err
	}
	process, err := r.Start(ctx, nil, program)
	if err != nil {
		return told, nil, err
	}
	if err := json.NewEncoder(process.In).Encode(told); err != nil {
		process.Stop()
		return told, nil, process.Failed(fmt.Errorf("tell it what to send: %w", err))
	}
	if err := process.Ready(ctx, rig.Listens("unix", told.Socket)); err != nil {
		process.Stop()
		return told, nil, err
	}
	return told, process.Stop, nil
}
