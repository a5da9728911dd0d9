package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/lab"
)

// The course of an outage, in seconds.
const (
	before, during, after = 3, 10, 5
	settled               = 2  // from then on only probes may reach the upstream
	mostProbes            = 4  // requests in a second after that: a second may have two probes of two questions each
	mostLines             = 12 // log lines in the whole outage
	perSecond             = 20 // calls of the handler in a second
)

// runOutage makes calls while the upstream works, fails and works again, and prints how many requests reach the upstream in each second.
func runOutage(ctx context.Context, dir, binary string) (failed error) {
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"silence": func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		},
	} {
		failed = errors.Join(failed, outageOf(ctx, dir, binary, name, answer))
	}
	return failed
}

func outageOf(ctx context.Context, dir, binary, name string, answer func(http.ResponseWriter, *http.Request)) (err error) {
	g, err := newRig(ctx, dir, binary, "d"+name, "HEARTH_TTL_MUTE=1ms/0s/1h")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close(ctx)) }()
	if err := g.sandbox.Hearth.SetMute(ctx, "chat", wire.Mute{Muted: true}); err != nil {
		return err
	}
	var down atomic.Bool
	g.upstreams.Weaviate.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
		if !down.Load() {
			return false
		}
		answer(w, r)
		return true
	})
	lines := func() int { return strings.Count(g.sandbox.Extension.Log(), "\n") }
	var calls sync.WaitGroup
	var muted, mutes atomic.Int64
	var slowest lab.Samples
	var mu sync.Mutex
	second := func() (sent int) {
		had := g.upstreams.Requests()
		for range perSecond {
			calls.Go(func() {
				begun := time.Now()
				_ = search(ctx, g.sandbox.Hearth, begun.String())
				mu.Lock()
				defer mu.Unlock()
				slowest = append(slowest, lab.MS(time.Since(begun)))
			})
			sleep(ctx, time.Second/perSecond)
		}
		mutes.Add(1)
		if m, err := g.sandbox.Hearth.Mute(ctx, "chat"); err == nil && m.Muted {
			muted.Add(1)
		}
		return g.upstreams.Requests() - had
	}
	var sent []int
	run := func(seconds int) []int {
		for range seconds {
			sent = append(sent, second())
		}
		return sent[len(sent)-seconds:]
	}
	usual := run(before)
	down.Store(true)
	had := lines()
	mu.Lock()
	slowest = nil
	mu.Unlock()
	outage := run(during)
	logged := lines() - had
	down.Store(false)
	again := run(after)
	calls.Wait()
	fmt.Fprintf(os.Stdout, "%s: requests per second before %v, during %v, after %v; %d log lines in %d s; muted chat stays muted %d of %d; slowest call %.0f ms\n",
		name, usual, outage, again, logged, during, muted.Load(), mutes.Load(), slowest.Max())
	for i, n := range outage {
		if i >= settled {
			err = errors.Join(err, check(n <= mostProbes, "%s: %d requests in second %d of the outage", name, n, i+1))
		}
	}
	return errors.Join(err,
		check(logged > 0 && logged <= mostLines, "%s: %d log lines", name, logged),
		check(muted.Load() == mutes.Load(), "%s: a muted chat was not muted %d times", name, mutes.Load()-muted.Load()),
		check(again[after-1] >= perSecond, "%s: %d requests per second after the outage", name, again[after-1]))
}
