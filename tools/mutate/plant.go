package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// An outcome is what became of a planted mistake.
type outcome int

const (
	noticed    outcome = iota
	missed             // no test noticed it
	explained          // accepted.txt says why no test can
	impossible         // does not compile; the last one: it is not tallied
)

// stage is one call of go test. What one stage misses the next one may notice.
type stage struct {
	args []string
	took time.Duration // without a mistake
}

// stages are the package's own tests, then those of its users.
func stages(p pkg, users [][]string) []stage {
	own := []string{"./" + p.dir}
	if slices.Contains(slices.Concat(p.TestImports, p.XTestImports), "pgregory.net/rapid") {
		// A fail file would be written into the tree and help the next run.
		own = append(own, "-rapid.nofailfile", "-rapid.shrinktime=0s")
	}
	all := []stage{{args: own}}
	for _, args := range users {
		all = append(all, stage{args: args})
	}
	return all
}

// measure runs the tests without a mistake.
func (s *stage) measure(ctx context.Context, cfg config) error {
	start := time.Now()
	out, err := s.run(ctx, cfg.root, "", 20*time.Minute)
	if err != nil {
		return fmt.Errorf("go test %s fails without a mistake: %w\n%s", strings.Join(s.args, " "), err, out)
	}
	s.took = time.Since(start)
	return nil
}

// plant runs the stages with a mistake until one fails, and says which test failed.
func plant(ctx context.Context, cfg config, m mistake, stages []stage) (outcome, string, error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	planted, overlay := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(planted, []byte(m.code()), 0o600); err != nil {
		return 0, "", err
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {m.path: planted}})
	if err != nil {
		return 0, "", err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return 0, "", err
	}
	for _, s := range stages {
		out, err := s.run(ctx, cfg.root, overlay, max(cfg.timeout, 10*s.took))
		switch {
		case ctx.Err() != nil:
			return 0, "", ctx.Err()
		case err == nil:
			continue
		case strings.Contains(out, "[build failed]"):
			return impossible, "", nil
		}
		return noticed, failure(out), nil
	}
	return missed, "", nil
}

// run runs the tests. All that they started is dead when run returns.
func (s *stage) run(ctx context.Context, root, overlay string, timeout time.Duration) (string, error) {
	tmp, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	ctx, cancel := context.WithTimeout(ctx, timeout+5*time.Minute) // A build takes time too.
	defer cancel()
	args := []string{"test", "-vet=off", "-failfast", "-count=1", "-ldflags=-s", "-timeout", timeout.String()}
	cmd := exec.CommandContext(ctx, "go", append(args, s.args...)...)
	cmd.Dir = root
	// In GOFLAGS the overlay reaches the tests that build the binary as well.
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = cmd.Cancel()
	}
	return string(out), err
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)|^(?:panic|fatal error): .*`)

// failure is the first sign of a failure in what go test printed.
func failure(out string) string {
	match := failed.FindStringSubmatch(out)
	switch {
	case match == nil:
		return "the tests end early"
	case match[1] != "":
		return match[1]
	case strings.HasPrefix(match[0], "panic: test timed out"):
		return "the tests hang"
	}
	return match[0]
}
