// Command hearth is the extension with options that only harnesses set, by environment variables:
//
//	HEARTH_TEST_WITHOUT  defences to leave out, separated by commas: race, look, replay, idle_limit, deadline, breaker, retry-budget, write-rule
//	HEARTH_TEST_EVENTS   events to register for besides SHUTDOWN: INVOKE
//	HEARTH_TEST_QUEUE    how many calls to an upstream may wait
//	HEARTH_TEST_CLOCK    a file of two little-endian int64 in nanoseconds: what to add to the wall clock, and to the
//	                     monotonic one; it may change at any time
//	HEARTH_TEST_DNS      the address of the name server to ask
//	HEARTH_TEST_DEBUG    a Unix socket; each connection to it gets the goroutine profile of runtime/pprof as text
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hearth/internal/app"
	"hearth/internal/clock"
)

func main() {
	options, err := read(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if server := os.Getenv("HEARTH_TEST_DNS"); server != "" {
		askNameServer(server)
	}
	if path := os.Getenv("HEARTH_TEST_DEBUG"); path != "" {
		if err := serveStacks(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	environ := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "HEARTH_TEST_") })
	os.Exit(app.Main(os.Args, environ, os.Stdout, os.Stderr, options))
}

func read(getenv func(string) string) (o app.Options, err error) {
	list := func(name string) []string {
		return strings.FieldsFunc(getenv(name), func(r rune) bool { return r == ',' })
	}
	for _, defence := range list("HEARTH_TEST_WITHOUT") {
		switch defence {
		case "race":
			o.Policy.NoRace = true
		case "look":
			o.Policy.NoLook = true
		case "replay":
			o.Policy.NoReplay = true
		case "deadline":
			o.NoDeadline = true
		case "breaker":
			o.Policy.NoBreaker = true
		case "retry-budget":
			o.Policy.NoRetryBudget = true
		case "write-rule":
			o.Policy.NoWriteRule = true
		case "idle_limit":
			o.NoIdleLimit = true
		default:
			return o, fmt.Errorf("HEARTH_TEST_WITHOUT: there is no defence %q", defence)
		}
	}
	o.Events = list("HEARTH_TEST_EVENTS")
	if queue := getenv("HEARTH_TEST_QUEUE"); queue != "" {
		if o.Queue, err = strconv.Atoi(queue); err != nil {
			return o, fmt.Errorf("HEARTH_TEST_QUEUE: %w", err)
		}
	}
	if path := getenv("HEARTH_TEST_CLOCK"); path != "" {
		if o.Clock, err = shiftedClock(path); err != nil {
			return o, fmt.Errorf("HEARTH_TEST_CLOCK: %w", err)
		}
	}
	return o, nil
}

// askNameServer makes the process send all DNS questions to one name server.
func askNameServer(address string) {
	net.DefaultResolver.PreferGo = true
	net.DefaultResolver.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// serveStacks listens on a socket until the process ends.
func serveStacks(path string) error {
	_ = os.Remove(path) // a former process may have left it
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				time.Sleep(10 * time.Millisecond) // there is no file descriptor now
				continue
			}
			_ = pprof.Lookup("goroutine").WriteTo(c, 1) // an error means that the caller has left
			_ = c.Close()
		}
	}()
	return nil
}

// shiftedClock reads the machine's clocks and adds what the file says at that moment.
func shiftedClock(path string) (func() clock.Instant, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	offsets, err := syscall.Mmap(int(f.Fd()), 0, 16, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	system := clock.System()
	return func() clock.Instant {
		now := system()
		now.Wall = now.Wall.Add(time.Duration(binary.LittleEndian.Uint64(offsets)))
		now.Mono += time.Duration(binary.LittleEndian.Uint64(offsets[8:]))
		return now
	}, nil
}
