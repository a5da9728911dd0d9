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

// FromEnv reads where Hearth is from the variables that Hearth itself reads: HEARTH_SOCKET, HEARTH_ADDR,
// HEARTH_TOKEN, and in Lambda the credential that both sides derive the token from. Its argument is [os.Getenv],
// or what stands in for it.
//
// A process that Lambda started is asked for Lambda's own variables as it was started with them, on Linux: a handler
// that takes on another role may have overwritten AWS_SESSION_TOKEN, and Hearth goes on with the first one.
func FromEnv(get func(name string) string) Config {
	setting := func(name string) string { return strings.TrimSpace(get(name)) } // as Hearth reads it
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

// startEnv is the environment that this process was started with; nil where the system does not tell.
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

// host is what the Host header says: the port is of no interest to the sidecar.
const host = "localhost"

// checkAddr says why nobody can be found at an address; only loopback is asked.
func checkAddr(addr string) error {
	if port, ok := wire.LoopbackPort(addr); !ok || port == 0 {
		return fmt.Errorf("the address must be a loopback one and a port, not %q", addr)
	}
	return nil
}

// dial opens a connection to the first address where somebody listens.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := c.dialFirst(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrUnreachable, err)
	}
	return conn, nil
}

// dialFirst is dial. Its error says of each address what is wrong with it.
func (c *Client) dialFirst(ctx context.Context) (net.Conn, error) {
	if c.cfg.Socket == "" {
		return dialTCP(ctx, c.cfg.Addr)
	}
	conn, missing := dialSocket(ctx, c.cfg.Socket)
	if missing == nil || busy(missing) || ctx.Err() != nil || c.cfg.Addr == "" {
		return conn, missing
	}
	conn, err := dialTCP(ctx, c.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("%w; %w", missing, err)
	}
	return conn, nil
}

// dialSocket opens a connection to a process of our own user or of root. Another user's may hold the path: the token,
// and what is said in the chats, are not for it.
func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	owner, known, err := peerUser(conn)
	own := os.Geteuid()
	switch {
	case err != nil:
		err = fmt.Errorf("who listens on %s: %w", path, err)
	case known && owner != 0 && owner != own:
		err = fmt.Errorf("a process of user %d listens on %s, not of user %d or root, and was told nothing", owner, path, own)
	default:
		return conn, nil
	}
	_ = conn.Close() // nothing was said on it
	return nil, err
}

// busy says that somebody serves the socket, but has not answered yet.
func busy(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() // EAGAIN too: the queue is full
}

// dialTCP opens a connection to Hearth, and to nobody else.
func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	if err := checkAddr(addr); err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := greet(ctx, conn); err != nil {
		_ = conn.Close() // nothing was said on it that matters
		return nil, fmt.Errorf("what listens on %s does not answer as Hearth does, and was told nothing: %w", addr, err)
	}
	return conn, nil
}

// greet asks who is there, without a token. Any process may take a free port, also one that was Hearth's a moment
// ago. But a connection stays with whom it was made to: so each new one is asked, once.
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
