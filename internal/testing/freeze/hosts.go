package main

import (
	"context"
	"net"
	"slices"
)

// twoAddresses makes localhost mean 127.0.0.1 and ::1 to the processes that this goroutine starts, so that an upstream can move
// from one to the other.
func twoAddresses(ctx context.Context, dir string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "[::1]:0")
	if err != nil {
		return err
	}
	l.Close()
	if addrs, err := net.DefaultResolver.LookupHost(ctx, "localhost"); err == nil && slices.Contains(addrs, "::1") && slices.Contains(addrs, "127.0.0.1") {
		return nil
	}
	return ownHosts(dir)
}
