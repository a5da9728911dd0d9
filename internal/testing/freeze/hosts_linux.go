package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// ownHosts gives the processes that this goroutine starts an /etc/hosts of their own. The goroutine keeps its thread for good:
// the mount belongs to the thread, and a sandbox is killed when the thread that started it ends.
func ownHosts(dir string) error {
	file := filepath.Join(dir, "hosts")
	if err := os.WriteFile(file, []byte("127.0.0.1 localhost\n::1 localhost\n"), 0o644); err != nil {
		return err
	}
	runtime.LockOSThread()
	err := syscall.Unshare(syscall.CLONE_NEWNS)
	if err == nil {
		err = syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	}
	if err == nil {
		err = syscall.Mount(file, "/etc/hosts", "", syscall.MS_BIND, "")
	}
	if err != nil {
		return fmt.Errorf("localhost is not 127.0.0.1 and ::1, and sandboxes cannot have another /etc/hosts: %w", err)
	}
	return nil
}
