//go:build hearthtest

package app

import (
	bin "encoding/binary" // the tests have a function of that name
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"hearth/internal/clock"
)

// newLab reads what a test wants:
//
//	HEARTH_TEST_WITHOUT  defences to leave out, of race, replay and idle_limit
//	HEARTH_TEST_EVENTS   events to register for besides SHUTDOWN: INVOKE
//	HEARTH_TEST_CLOCK    a file of two little-endian int64 in nanoseconds: what to add to the wall clock, and to
//	                     the monotonic one; it may change at any time
func newLab() (l lab, err error) {
	list := func(name string) []string {
		return strings.FieldsFunc(os.Getenv(name), func(r rune) bool { return r == ',' })
	}
	without := list("HEARTH_TEST_WITHOUT")
	l.noRace, l.noReplay = slices.Contains(without, "race"), slices.Contains(without, "replay")
	l.noIdleLimit = slices.Contains(without, "idle_limit")
	l.events = list("HEARTH_TEST_EVENTS")
	if path := os.Getenv("HEARTH_TEST_CLOCK"); path != "" {
		l.now, err = shiftedClock(path)
	}
	return l, err
}

func shiftedClock(path string) (func() clock.Instant, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("HEARTH_TEST_CLOCK: %w", err)
	}
	defer f.Close()
	offsets, err := syscall.Mmap(int(f.Fd()), 0, 16, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("HEARTH_TEST_CLOCK: %w", err)
	}
	system := clock.System()
	return func() clock.Instant {
		now := system()
		now.Wall = now.Wall.Add(time.Duration(bin.LittleEndian.Uint64(offsets)))
		now.Mono += time.Duration(bin.LittleEndian.Uint64(offsets[8:]))
		return now
	}, nil
}
