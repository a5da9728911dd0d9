package app

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hearth/internal/testing/lambdatest"
	"hearth/internal/testing/testnet"
)

// INIT runs again inside the next invocation: the port and the socket must be free by then, whatever ended the process before. The socket's
// file is still there if the process was killed.
func TestAfterAResetItServesAgainOnThePortAndTheSocket(t *testing.T) {
	fail := func(t *testing.T, f *function, how string) {
		t.Helper()
		if how == "killed" {
			if err := f.hearth.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-f.hearth.Done()
			return
		}
		if _, err := f.Invoke(t.Context(), []byte(how)); !errors.Is(err, lambdatest.ErrTimeout) {
			t.Fatalf("%s: ended with %v", how, err)
		}
		if _, err := os.Lstat(f.config.Socket); err == nil {
			t.Error("the socket is left behind")
		}
	}
	onEach(t, lambdatest.OnDemand, func(t *testing.T, cfg lambdatest.Config, logged ...string) {
		u := newUpstreams(t)
		addr, err := testnet.FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		var f *function
		cfg.Reset, cfg.Timeout = true, 3*time.Second
		cfg.Answer = func(ctx context.Context, payload []byte) ([]byte, error) {
			if string(payload) == "hang" {
				<-ctx.Done()
			}
			return f.handle(ctx, payload)
		}
		f = newFunction(t, cfg, append(u.env, "HEARTH_ADDR="+addr)...)
		f.invoke(t, "before")
		all := []string{}
		for i, how := range []string{"hang", "killed", "killed", "hang"} {
			all = append(all, logged...)
			fail(t, f, how)
			f.invoke(t, "after "+how) // over the socket
			if wantHealthy(t, "tcp", addr); f.Resets() != i+1 {
				t.Errorf("%s: %d resets", how, f.Resets())
			}
		}
		stopped := errors.Join(f.WaitReady(t.Context()), f.hearth.Stop(t.Context()))
		if stopped != nil {
			t.Error(stopped)
		}
		f.wantLines(t, append(all, logged...)...)
		if n := strings.Count(f.hearth.Log(), `"msg":"serving"`); n != 5 {
			t.Errorf("it served %d times", n)
		}
	})
}

// A caller that waits for a silent upstream when the function's time is up must not keep Hearth from ending.
func TestAResetDuringACallEndsInTime(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var f *function
	var calls sync.WaitGroup
	defer calls.Wait()
	f = newFunction(t, lambdatest.Config{
		Reset: true, Timeout: 2 * time.Second,
		Answer: func(ctx context.Context, _ []byte) ([]byte, error) {
			calls.Go(func() { // it outlives the invocation
				if _, err := f.client.History(context.WithoutCancel(ctx), "a", 10, 5); err == nil {
					t.Error("a silent upstream has answered")
				}
			})
			<-ctx.Done()
			return nil, nil
		},
	}, "HEARTH_WEAVIATE_URL=http://"+silent.Addr().String(), "HEARTH_WEAVIATE_GRPC_URL=http://"+silent.Addr().String(), "HEARTH_WEAVIATE_TIMEOUT=1m")
	for range 2 {
		if _, err := f.Invoke(t.Context(), nil); !errors.Is(err, lambdatest.ErrTimeout) {
			t.Errorf("ended with %v", err)
		}
	}
	if err := f.hearth.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if reports := f.Reports(); len(reports) != 0 { // of a process that had to be killed
		t.Errorf("Lambda was told %v\n%s", reports, f.hearth.Log())
	}
}
