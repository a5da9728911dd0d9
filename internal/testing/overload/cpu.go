package main

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"syscall"
	"time"
)

// cpu is the time of the machine's processors that the sidecar, this process and all others have used. A table of a run in which others
// used much says little about the sidecar.
type cpu struct{ sidecar, harness, others time.Duration }

func (c cpu) minus(d cpu) cpu {
	return cpu{c.sidecar - d.sidecar, c.harness - d.harness, max(0, c.others-d.others)}
}

func (g *rig) cpu() (c cpu, err error) {
	usage, err := g.sandbox.Extension.Usage()
	if err != nil {
		return c, err
	}
	c.sidecar = usage.CPU
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return c, err
	}
	c.harness = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	busy, err := busy()
	c.others = busy - c.sidecar - c.harness
	return c, err
}

// busy is how long the machine's processors have worked, all together.
func busy() (sum time.Duration, err error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Lambda or we run
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 {
		return 0, errors.New("/proc/stat: the first line is too short")
	}
	for i, field := range fields[1:9] {
		if i == 3 || i == 4 { // idle, and idle while the disk works
			continue
		}
		n, err := strconv.Atoi(string(field))
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}
