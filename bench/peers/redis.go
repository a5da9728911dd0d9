package peers

import (
	"context"
	"fmt"
	"io"
	"net"

	"hearth/bench/rig"
)

const key = "history"

// Get is the request for the value that [StartRedis] has set.
func Get() []byte { return fmt.Appendf(nil, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key) }

// StartRedis starts a Redis that keeps nothing on disk, and sets a value.
func StartRedis(ctx context.Context, r *rig.Rig, value []byte) (s Server, err error) {
	found, err := find(ctx, "redis-server", "redis-server")
	if err != nil {
		return s, err
	}
	if s.Address, err = r.FreeAddress(ctx); err != nil {
		return s, err
	}
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return s, err
	}
	process, err := r.Start(ctx, found.env, found.path, "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--dir", r.Dir)
	if err != nil {
		return s, err
	}
	s.Stop = process.Stop
	go func() { _, _ = io.Copy(io.Discard, process.Out) }() // its log; it ends with the process
	if err := process.Ready(ctx, func(ctx context.Context) error { return set(ctx, s.Address, value) }); err != nil {
		s.Stop()
		return s, err
	}
	return s, nil
}

func set(ctx context.Context, address string, value []byte) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, len(value), value); err != nil {
		return err
	}
	answer := make([]byte, len("+OK\r\n"))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if string(answer) != "+OK\r\n" {
		return fmt.Errorf("redis: SET: %q", answer)
	}
	return nil
}
