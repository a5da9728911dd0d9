package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"hearth/bench/document"
	"hearth/bench/peers"
	"hearth/bench/result"
)

// describe is the run as the document has it.
func describe(ctx context.Context, root, command string, all []limit, lines []result.Line) document.Run {
	described := document.Run{Command: command, Commit: output(ctx, root, "git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"), Lines: lines}
	described.Machine = []string{processor(), fmt.Sprintf("%d cores", runtime.NumCPU()), "Linux " + kernel()}
	described.Versions = append([]string{
		"Go " + strings.TrimPrefix(runtime.Version(), "go"),
		"fasthttp " + output(ctx, root, "go", "list", "-m", "-f", "{{.Version}}", "github.com/valyala/fasthttp"),
	}, peers.Versions(ctx)...)
	for _, line := range lines {
		if l, ok := of(all, line); ok {
			described.Judged = append(described.Judged, document.Judged{Line: line, Limit: l.String(), Verdict: string(l.judge(line))})
		}
	}
	return described
}

// output is what a command prints, in one line, or "unknown".
func output(ctx context.Context, dir, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if m := regexp.MustCompile(`(?m)^model name\s*: (.+)$`).FindSubmatch(text); err == nil && m != nil {
		return string(m[1])
	}
	return runtime.GOARCH
}

func kernel() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}
