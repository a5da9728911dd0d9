package lambdatest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process uses, as /proc has it.
type Usage struct {
	RSS   int64         // Bytes of memory resident now.
	CPU   time.Duration // Used so far, in steps of 10ms.
	Files int           // Descriptors open now.
}

// moves is whether a thread of the process has neither stopped nor ended; false where there is no /proc.
func (r *run) moves() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", r.cmd.Process.Pid))
	return slices.ContainsFunc(threads, func(thread string) bool {
		stat, err := os.ReadFile(thread)
		if err != nil {
			return false // It has just ended.
		}
		_, state, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
		return !strings.ContainsAny(state[:1], "TtZX")
	})
}

// Usage is what the process uses.
func (p *Process) Usage() (u Usage, err error) {
	dir := fmt.Sprintf("/proc/%d/", p.last().cmd.Process.Pid)
	statm, err := os.ReadFile(dir + "statm")
	if err != nil {
		return u, fmt.Errorf("lambdatest: %w", err)
	}
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return u, fmt.Errorf("lambdatest: %w", err)
	}
	files, err := os.ReadDir(dir + "fd")
	if err != nil {
		return u, fmt.Errorf("lambdatest: %w", err)
	}
	u.Files = len(files)
	number := func(fields []string, i int) int64 {
		var n int64
		if i < len(fields) && err == nil {
			n, err = strconv.ParseInt(fields[i], 10, 64)
		}
		return n
	}
	u.RSS = number(strings.Fields(string(statm)), 1) * int64(os.Getpagesize())
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Lambda or we run.
	// The name in the second field may hold anything, so count from its end: user and system time are fields 14 and 15.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	u.CPU = time.Duration(number(fields, 11)+number(fields, 12)) * tick
	return u, err
}
