package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/bot"
	"hearth/internal/testing/lambdatest"
	"hearth/internal/testing/testnet"
)

const (
	rtt     = 20 * time.Millisecond
	timeout = 2 * time.Second // of a call to an upstream: what waits for a dead connection fails
	chats   = 4
)

// freshness is the default but for Odoo: of its records shorter, and of its models at most three freezes. Stale for an
// hour is well, but each answer has them refreshed, and a refresh that a freeze overtakes must end, or make room for the
// next.
func freshness() bot.Freshness {
	f := bot.DefaultFreshness()
	f.OdooRead, f.OdooModels = time.Second, 3
	return f
}

// sandbox is one that is frozen: with the real extension in it, upstreams of its own, and the handler out here, where
// time is measured.
type sandbox struct {
	*lab.Sandbox
	number    int
	idleLimit time.Duration // of its connections
	narrow    bool          // Odoo has the default of two connections: a refresh that froze on its way may hold both
	tally     *tally
	bot       *bot.Bot
	upstreams *lab.Upstreams
	clocks    *clocks

	round  round // changes between invocations only
	frozen int   // how often; likewise
}

// start starts the sandbox of a binary in its folder, with the defence switched off that without names.
func start(ctx context.Context, dir, binary, without string, n int, t *tally) (s *sandbox, err error) {
	s = &sandbox{number: n, idleLimit: sandboxLimits()[n], narrow: n%2 == 1, tally: t}
	s.bot = &bot.Bot{Name: fmt.Sprintf("sandbox %d", n), Freshness: freshness()}
	s.upstreams, err = lab.StartUpstreams(dir, lab.UpstreamsConfig{RTT: rtt, Host: "localhost", Wrap: s.bot.Relabeled}) //nolint:contextcheck // their life ends with close
	if err != nil {
		return nil, err
	}
	s.bot.Upstreams = s.upstreams
	defer func() {
		if err != nil {
			err = errors.Join(err, s.upstreams.Close(), s.clocks.close())
		}
	}()
	if s.clocks, err = newClocks(filepath.Join(dir, "clocks")); err != nil {
		return s, err
	}
	settings := append(s.upstreams.Settings(),
		"HEARTH_WEAVIATE_TIMEOUT="+timeout.String(), "HEARTH_ODOO_TIMEOUT="+timeout.String(), "HEARTH_CONN_MAX_IDLE="+s.idleLimit.String(),
		"HEARTH_TTL_ODOO_READ="+s.bot.Freshness.OdooRead.String(), "HEARTH_TTL_ODOO_MODELS=20ms/1h/1h", // all but always stale, and refreshed meanwhile
		"HEARTH_TEST_CLOCK="+s.clocks.file.Name(), "HEARTH_TEST_WITHOUT="+without,
	)
	if !s.narrow {
		settings = append(settings, "HEARTH_ODOO_CONNECTIONS=5")
	}
	if err := lab.MakeClasses(ctx, binary, settings); err != nil {
		return s, err
	}
	for n := range chats {
		if err := s.bot.MuteElsewhere(lab.ChatID(n)); err != nil { //nolint:contextcheck // a row is stored in any case, and its client has a timeout
			return s, err
		}
	}
	s.Sandbox, err = lab.Start(ctx, lab.SandboxConfig{
		Host: lambdatest.Config{Timeout: time.Minute, Answer: s.handle}, Extension: binary, Settings: settings, Socket: filepath.Join(dir, "s"),
	})
	if err != nil {
		return s, err
	}
	s.bot.Hearth = s.Hearth
	return s, nil
}

func (s *sandbox) String() string {
	return fmt.Sprintf("in sandbox %d after freeze %d (idle limit %v, %v)", s.number, s.frozen, s.idleLimit, s.round)
}

func (s *sandbox) close(ctx context.Context) error {
	_, err := s.Close(ctx)
	return errors.Join(err, s.upstreams.Close(), s.clocks.close())
}

// run freezes the sandbox as planned, with an invocation before and after each freeze.
func (s *sandbox) run(ctx context.Context, rounds []round) error {
	if _, err := s.Host.Invoke(ctx, nil); err != nil {
		return s.crashed(err)
	}
	for _, r := range rounds {
		if err := s.freeze(ctx, r); err != nil {
			return fmt.Errorf("%v: %w", s, err)
		}
		s.tally.froze()
		s.frozen, s.round = s.frozen+1, r
		if _, err := s.Host.Invoke(ctx, nil); err != nil {
			return s.crashed(err)
		}
	}
	for _, fault := range s.bot.WrittenOnce() { //nolint:contextcheck // its client has a timeout
		s.tally.failed(s, "at the end", fault)
	}
	return nil
}

func (s *sandbox) crashed(err error) error {
	return fmt.Errorf("%v: %w\n%s", s, err, s.Extension.Log())
}

// freeze lets the round's fault and the writes of others happen while nothing in the sandbox can notice.
func (s *sandbox) freeze(ctx context.Context, r round) error {
	if err := s.Host.Freeze(); err != nil {
		return err
	}
	began := time.Now()
	if err := pause(ctx, r.frozen/4); err != nil {
		return err
	}
	var hit errgroup.Group
	for _, wire := range r.wires(s.upstreams) {
		hit.Go(func() error { return r.strike(wire) }) //nolint:contextcheck // the proxy's listener lives as long as the proxy
	}
	if err := errors.Join(s.elsewhere(r), hit.Wait(), pause(ctx, time.Until(began.Add(r.frozen)))); err != nil { //nolint:contextcheck // a row is stored in any case, and its client has a timeout
		return err
	}
	if err := s.clocks.shift(r, time.Since(began)); err != nil {
		return err
	}
	return s.Host.Thaw()
}

// wires are those that the fault hits.
func (r round) wires(u *lab.Upstreams) (wires []*testnet.Proxy) {
	if r.weaviate {
		wires = append(wires, u.WeaviateREST.Wire, u.WeaviateGRPC.Wire)
	}
	if r.odoo {
		wires = append(wires, u.OdooJSON.Wire)
	}
	return wires
}

func (r round) strike(wire *testnet.Proxy) error {
	switch r.fault {
	case fin:
		wire.Cut(testnet.FIN)
	case rst:
		wire.Cut(testnet.RST)
	case blackHole:
		wire.BlackHole()
	case forget:
		wire.Forget()
	case restart:
		return wire.Restart(r.frozen / 2)
	case move:
		return wire.Move()
	}
	return nil
}

// elsewhere are the writes of another sandbox, straight to the upstreams.
func (s *sandbox) elsewhere(r round) error {
	s.bot.Relabel()
	var errs []error
	if r.message {
		errs = append(errs, s.bot.AppendElsewhere(lab.ChatID(r.chat)))
	}
	if r.mute {
		errs = append(errs, s.bot.MuteElsewhere(lab.ChatID(r.chat)))
	}
	if r.contact {
		errs = append(errs, s.bot.CreateElsewhere())
	}
	return errors.Join(errs...)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
