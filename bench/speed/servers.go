package speed

import (
	"context"
	"errors"
	"fmt"

	"hearth/bench/load"
	"hearth/bench/peers"
	"hearth/bench/rig"
)

// servers are Hearth and its peers. All of them have the same replies.
type servers struct {
	hearth              *rig.Hearth
	bare                Bare
	known               []contender // nginx and Redis, where they are to be had; they have the history by TCP
	history, preprocess rig.Reply
	stops               []func()
}

// start starts the servers. Stop them, after an error too.
func start(ctx context.Context, r *rig.Rig) (s servers, err error) {
	if s.hearth, err = r.StartHearth(ctx, r.Hearth); err != nil {
		return s, err
	}
	s.stops = append(s.stops, s.hearth.Stop)
	var historyErr, preprocessErr error
	s.history, historyErr = s.hearth.Ask(ctx, rig.History())
	s.preprocess, preprocessErr = s.hearth.Ask(ctx, rig.Preprocess())
	if err := errors.Join(historyErr, preprocessErr); err != nil {
		return s, s.hearth.Failed(err)
	}
	fmt.Fprintf(r.Progress, "a history is %d bytes with a body of %d, a preprocess %d with %d\n",
		s.history.Size, len(s.history.Body), s.preprocess.Size, len(s.preprocess.Body))
	bare, stop, err := startBare(ctx, r, s.history, s.preprocess)
	if err != nil {
		return s, err
	}
	s.bare, s.stops = bare, append(s.stops, stop)
	if r.Short {
		return s, nil
	}
	err = errors.Join(
		s.addKnown(r, "nginx", rig.Job("tcp", "", "", rig.History(), s.history), func() (peers.Server, error) {
			return peers.StartNginx(ctx, r, s.bare.Address)
		}),
		s.addKnown(r, "redis", load.Job{Network: "tcp", Protocol: load.RESP, Request: peers.Get(), Body: s.history.Body}, func() (peers.Server, error) {
			return peers.StartRedis(ctx, r, s.history.Body)
		}),
	)
	return s, err
}

// addKnown starts a peer that people know, or says that it is absent. The job lacks its address.
func (s *servers) addKnown(r *rig.Rig, name string, job load.Job, start func() (peers.Server, error)) error {
	server, err := start()
	switch {
	case errors.Is(err, peers.ErrAbsent):
		fmt.Fprintln(r.Progress, err)
		return nil
	case err != nil:
		return err
	}
	s.stops = append(s.stops, server.Stop)
	job.Address = server.Address
	s.known = append(s.known, contender{name, job})
	return nil
}

func (s *servers) stop() {
	for _, stop := range s.stops {
		stop()
	}
}

// contests are all contests of these servers.
func (s *servers) contests() (list []contest) {
	for _, network := range []string{"tcp", "unix"} {
		both := func(call rig.Call, reply rig.Reply) []contender {
			return []contender{
				{"hearth", s.hearth.Job(network, call, reply)},
				{"bare", rig.Job(network, s.bare.Address, s.bare.Socket, call, reply)},
			}
		}
		hit := both(rig.History(), s.history)
		if network == "tcp" {
			hit = append(hit, s.known...)
		}
		list = append(list, contest{"hit", network, hit}, contest{"held_preprocess", network, both(rig.Preprocess(), s.preprocess)})
	}
	return list
}
