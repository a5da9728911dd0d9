package client

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"hearth/client/wire"
)

// FromEnv makes a Config of the variables that Hearth itself reads: HEARTH_SOCKET, HEARTH_ADDR, HEARTH_TOKEN, and in Lambda
// the credential that both sides derive the token from. get is [os.Getenv], or a function like it.
//
// If Lambda started this process and the system is Linux, FromEnv reads Lambda's variables as they were at the start of the
// process. A handler that assumes another role may overwrite AWS_SESSION_TOKEN, while Hearth keeps the first value.
func FromEnv(get func(name string) string) Config {
	setting := func(name string) string { return strings.TrimSpace(get(name)) } // Hearth trims its settings too
	cfg := Config{Socket: setting("HEARTH_SOCKET"), Addr: cmp.Or(setting("HEARTH_ADDR"), DefaultAddr), Token: setting("HEARTH_TOKEN")}
	ofLambda := get
	if start := startEnv(); start["AWS_LAMBDA_RUNTIME_API"] != "" {
		ofLambda = func(name string) string { return start[name] }
	}
	lambda := ofLambda("AWS_LAMBDA_RUNTIME_API") != ""
	if cfg.Socket == "" && lambda {
		cfg.Socket = "/tmp/hearth.sock"
	}
	if cfg.Token == "" && lambda {
		cfg.Token, _ = wire.DeriveToken(ofLambda("AWS_SESSION_TOKEN"), ofLambda("AWS_CONTAINER_AUTHORIZATION_TOKEN"))
	}
	return cfg
}

// startEnv returns the environment that this process was started with. It is nil if the system does not tell.
func startEnv() map[string]string {
	block, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return nil
	}
	env := map[string]string{}
	for entry := range strings.SplitSeq(string(block), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}

// host is the Host header. The sidecar ignores the port.
const host = "localhost"

// checkAddr returns an error if an address is not a loopback one or has no port.
func checkAddr(addr string) error {
	if port, ok := wire.LoopbackPort(addr); !ok || port == 0 {
		return fmt.Errorf("the address must be a loopback one and a port, not %q", addr)
	}
	return nil
}

// dial opens a connection to the first address that takes one.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := c.dialFirst(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrUnreachable, err)
	}
	return conn, nil
}

// dialFirst does the work of dial. Its error says for each address what is wrong with it.
func (c *Client) dialFirst(ctx context.Context) (net.Conn, error) {
	if c.cfg.Socket == "" {
		return dialTCP(ctx, c.cfg.Addr)
	}
	conn, missing := dialSocket(ctx, c.cfg.Socket)
	if missing == nil || listenerBusy(missing) || ctx.Err() != nil || c.cfg.Addr == "" {
		return conn, missing
	}
	conn, err := dialTCP(ctx, c.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("%w; %w", missing, err)
	}
	return conn, nil
}

// dialSocket opens a connection to a process of our own user or of root. A process of another user may listen on the path;
// it must not see the token or the chats.
func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	owner, known, err := peerUser(conn)
	own := os.Geteuid()
	switch {
	case err != nil:
		err = fmt.Errorf("cannot tell which user listens on %s: %w", path, err)
	case known && owner != 0 && owner != own:
		err = fmt.Errorf("a process of user %d listens on %s, and not one of user %d or root; nothing was sent to it", owner, path, own)
	default:
		return conn, nil
	}
	_ = conn.Close() // nothing was sent on it
	return nil, err
}

// listenerBusy says that a process listens on the socket, but has not taken the connection yet.
func listenerBusy(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() // EAGAIN too: the queue is full
}

// dialTCP opens a connection to Hearth. If another program listens, it returns an error.
func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	if err := checkAddr(addr); err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := greet(ctx, conn); err != nil {
		_ = conn.Close() // only the greeting was sent on it
		return nil, fmt.Errorf("the program that listens on %s does not answer as Hearth does, and no call was sent to it: %w", addr, err)
	}
	return conn, nil
}

// greet asks over a new connection, without a token, whether Hearth is at its other end. Any process may take a free port, even
// one that Hearth had a moment ago. One greeting per connection is enough, because a connection never changes its ends.
func greet(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, "GET "+PathHealth+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
		return err
	}
	const most = 16 << 10
	r := bufio.NewReader(io.LimitReader(conn, most))
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	switch {
	case resp.Header.Get("Server") != ServerName, resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%q %s", resp.Header.Get("Server"), resp.Status)
	case resp.Close, r.Buffered() > 0:
		return errors.New("the connection cannot be used again")
	case !stop():
		return context.Cause(ctx)
	}
	return nil
}
