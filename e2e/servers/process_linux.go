package servers

import "syscall"

// attributes puts the child into a process group of its own: an interrupt from the terminal does not reach it, and Stop decides
// what ends first. If isolated, it is in namespaces of its own, and its mounts are not visible outside.
func attributes(isolated bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if isolated {
		attr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC
		attr.Unshareflags = syscall.CLONE_NEWNS
	}
	return attr
}
