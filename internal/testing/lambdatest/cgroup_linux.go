package lambdatest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	prefix     = "lambdatest-"
)

// cgroup holds the sandbox's processes: one folder in version 2, one for each controller in version 1.
type cgroup struct {
	dirs    []string
	freezer freezer
}

// freezer is how processes are stopped in a cgroup: what to write into control, and what state holds once it is so.
type freezer struct{ control, freeze, thaw, state, frozen, thawed string }

// newCgroup makes what this system lets us make of a cgroup, and says what that is. What a host left behind that was
// killed is removed first: it may be frozen, and then nothing else ends it.
func newCgroup(memoryMB int) (c cgroup, l Limits) {
	for _, controller := range []string{"freezer", "cpu", "memory"} {
		reap(ownCgroup(controller))
	}
	reap(cgroupRoot)
	name := prefix + owner(os.Getpid()) + "-" + uuid.NewString()
	quota, bytes := strconv.Itoa(memoryMB*cpuPeriod/vCPU), strconv.Itoa(memoryMB<<20)
	period := strconv.Itoa(cpuPeriod)
	if _, err := os.Stat(cgroupRoot + "/cgroup.controllers"); err == nil {
		dir := filepath.Join(cgroupRoot, name)
		if l.Freezer = l.note("freezer", c.add(dir)); l.Freezer {
			c.freezer = freezer{dir + "/cgroup.freeze", "1", "0", dir + "/cgroup.events", "frozen 1", "frozen 0"}
		}
		if l.Freezer && memoryMB > 0 {
			l.CPU = l.note("cpu", set(dir, "cpu.max", quota+" "+period))
			l.Memory = l.note("memory", set(dir, "memory.max", bytes))
		}
		return c, l
	}
	dir := filepath.Join(ownCgroup("freezer"), name)
	if l.Freezer = l.note("freezer", c.add(dir)); l.Freezer {
		c.freezer = freezer{dir + "/freezer.state", "FROZEN", "THAWED", dir + "/freezer.state", "FROZEN", "THAWED"}
	}
	if memoryMB > 0 {
		l.CPU = l.note("cpu", c.add(filepath.Join(ownCgroup("cpu"), name), "cpu.cfs_period_us", period, "cpu.cfs_quota_us", quota))
		l.Memory = l.note("memory", c.add(filepath.Join(ownCgroup("memory"), name), "memory.limit_in_bytes", bytes))
	}
	return c, l
}

// owner names a process among all that ever ran on this machine: its PID namespace, its number in there, and when it
// began. "": it is no more.
func owner(pid int) string {
	namespace, err := os.Stat("/proc/self/ns/pid")
	stat, err2 := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || err2 != nil {
		return ""
	}
	const began = 22 - 3 // the 22nd field; the third follows the name
	_, fields, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')'):]), " ")
	return fmt.Sprintf("%d.%d.%s", namespace.Sys().(*syscall.Stat_t).Ino, pid, strings.Fields(fields)[began])
}

// reap removes the cgroups in a folder whose owner was in this PID namespace and is no more.
func reap(root string) {
	dirs, _ := filepath.Glob(filepath.Join(root, prefix+"*.*.*-*"))
	for _, dir := range dirs {
		name, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		parts := strings.Split(name, ".")
		pid, _ := strconv.Atoi(parts[1])
		own, _, _ := strings.Cut(owner(os.Getpid()), ".")
		if parts[0] != own || owner(pid) == name {
			continue
		}
		_ = set(dir, "cgroup.freeze", "0")
		_ = set(dir, "freezer.state", "THAWED")
		_ = cgroup{dirs: []string{dir}}.remove()
	}
}

// ownCgroup is the folder of this process's own group, which limits what is made below it. In a container it may be
// out of sight; what is mounted is then ours.
func ownCgroup(controller string) string {
	root := filepath.Join(cgroupRoot, controller)
	groups, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		if _, path, ok := strings.Cut(line, ":"+controller+":"); ok {
			own := filepath.Join(root, strings.TrimSpace(path))
			if _, err := os.Stat(own); err == nil {
				return own
			}
		}
	}
	return root
}

// add makes a folder with the settings, pairs of a file and its value. A folder that cannot be had whole is not kept.
func (c *cgroup) add(dir string, settings ...string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := set(dir, settings...); err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	c.dirs = append(c.dirs, dir)
	return nil
}

func set(dir string, settings ...string) error {
	for i := 0; i < len(settings); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, settings[i]), []byte(settings[i+1]), 0); err != nil {
			return err
		}
	}
	return nil
}

// start starts cmd in the cgroup and returns when its first instruction was. As a debugger's child it stops at exec,
// and goes on once it is where it belongs: cloning into a cgroup would do for version 2 only.
func (c cgroup) start(cmd *exec.Cmd) (time.Time, error) {
	// The group is for signals to all of it; a host that is killed takes its sandbox with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if len(c.dirs) == 0 {
		began := time.Now()
		return began, cmd.Start()
	}
	cmd.SysProcAttr.Ptrace = true
	runtime.LockOSThread() // Only the thread that started the child may detach from it.
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return time.Time{}, err
	}
	pid := cmd.Process.Pid
	var status syscall.WaitStatus
	_, err := syscall.Wait4(pid, &status, 0, nil)
	for errors.Is(err, syscall.EINTR) {
		_, err = syscall.Wait4(pid, &status, 0, nil)
	}
	for _, dir := range c.dirs {
		err = errors.Join(err, set(dir, "cgroup.procs", strconv.Itoa(pid)))
	}
	began := time.Now()
	if err = errors.Join(err, syscall.PtraceDetach(pid)); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return began, err
}

// freeze stops the cgroup's processes, or lets them go on, and returns when they have.
func (f freezer) set(frozen bool) error {
	word, want := f.thaw, f.thawed
	if frozen {
		word, want = f.freeze, f.frozen
	}
	if err := os.WriteFile(f.control, []byte(word), 0); err != nil {
		return err
	}
	return eventually(func() error {
		state, err := os.ReadFile(f.state)
		if err == nil && !strings.Contains(string(state), want) {
			err = fmt.Errorf("%s is %s", f.state, strings.TrimSpace(string(state)))
		}
		return err
	})
}

// remove kills what is still in the cgroup, which must not be frozen, and ends it.
func (c cgroup) remove() error {
	var errs error
	for _, dir := range c.dirs {
		errs = errors.Join(errs, eventually(func() error {
			procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			for pid := range strings.FieldsSeq(string(procs)) {
				if n, err := strconv.Atoi(pid); err == nil {
					_ = syscall.Kill(n, syscall.SIGKILL)
				}
			}
			if err := os.Remove(dir); !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return nil
		}))
	}
	return errs
}

// eventually asks until there is no error. Cgroups tell nobody when they change.
func eventually(ask func() error) error {
	const step, most = time.Millisecond, 2 * time.Second
	tick := time.NewTicker(step)
	defer tick.Stop()
	for range most / step {
		if ask() == nil {
			return nil
		}
		<-tick.C
	}
	return ask()
}
