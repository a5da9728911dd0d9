package servers

import "syscall"

// attributes puts the child in a process group of its own, out of the terminal's reach, so that Stop decides the order
// of ending; and, isolated, in namespaces of its own, whose mounts do not reach this one.
func attributes(isolated bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if isolated {
		attr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC
		attr.Unshareflags = syscall.CLONE_NEWNS
	}
	return attr
}
