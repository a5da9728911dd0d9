package rig

import "syscall"

// attributes puts a child into a process group of its own, so that an interrupt from the terminal does not reach it, and ends it when
// its parent ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
