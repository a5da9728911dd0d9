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
	"golang.org/x/sys/unix"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	prefix     = "lambdatest-"
)

// cgroup is the group of the sandbox's processes: one folder in version 2, one for each controller in version 1.
type cgroup struct {
	dirs    []string
	freezer freezer
}

// freezer has the files that freeze a cgroup: what to write into control, and what state then contains.
type freezer struct{ control, freeze, thaw, state, frozen, thawed string }

// newCgroup makes as much of a cgroup as this system allows, and says what that is. It first removes the cgroups of hosts that
// were killed: their processes may be frozen, and then nothing else ends them.
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

// owner identifies a process among all that ever ran on this machine, by its PID namespace, its number and its start time.
// "": the process has ended.
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

// reap removes the cgroups in a folder whose owner was in this PID namespace and has ended.
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

// ownCgroup is the folder of this process's own group, whose limits hold for the groups below it. In a container that folder
// may not be visible: then it is the root of what is mounted.
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

// add makes a folder and writes the settings: pairs of a file and its value. If it cannot write all, it removes the folder.
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

// start starts cmd in the cgroup and returns the time of its first instruction. The child is traced, so that it stops at exec
// until it is in the group: the kernel can clone into a group of version 2 only. If user is not 0, it is that user's.
func (c cgroup) start(cmd *exec.Cmd, user int) (time.Time, error) {
	// Signals go to the process group. A host that is killed takes its processes with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if user != 0 {
		// The files of a test are in folders that only root can search. The process may read them once it runs, and gets its own binary open.
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_DAC_READ_SEARCH}
		binary, err := os.Open(cmd.Path)
		if err != nil {
			return time.Time{}, err
		}
		defer binary.Close()
		cmd.Path, cmd.ExtraFiles = "/proc/self/fd/3", []*os.File{binary}
	}
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

// set freezes or thaws the processes of the cgroup, and returns when that is done.
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

// remove kills the processes in the cgroup, which must not be frozen, and removes it.
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

// eventually repeats ask until it returns no error, for two seconds: the kernel does not announce changes of a cgroup.
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
