//go:build !linux

package lambdatest

import (
	"os/exec"
	"syscall"
	"time"
)

// cgroup is for Linux; elsewhere nothing limits the sandbox, and signals freeze it.
type cgroup struct{ freezer freezer }

type freezer struct{}

func newCgroup(int) (cgroup, Limits) {
	return cgroup{}, Limits{Missing: []string{"no cgroups here"}}
}

func (cgroup) start(cmd *exec.Cmd, _ int) (time.Time, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	began := time.Now()
	return began, cmd.Start()
}

func (freezer) set(bool) error { return nil }

func (cgroup) remove() error { return nil }
