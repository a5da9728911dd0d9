package client

import (
	"bufio"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// FromEnv reads where Hearth is from the variables that Hearth itself reads: HEARTH_SOCKET, HEARTH_ADDR,
// HEARTH_TOKEN, and in Lambda the credential that both sides derive the token from. Where there is a socket, an address
// at which nobody can be found is left out. Its argument is [os.Getenv], or what stands in for it.
func FromEnv(get func(name string) string) Config {
	lambda := get("AWS_LAMBDA_RUNTIME_API") != ""
	cfg := Config{Socket: get("HEARTH_SOCKET"), Addr: cmp.Or(get("HEARTH_ADDR"), DefaultAddr), Token: get("HEARTH_TOKEN")}
	if cfg.Socket == "" && lambda {
		cfg.Socket = "/tmp/hearth.sock"
	}
	if cfg.Socket != "" && (!isLoopback(cfg.Addr) || strings.HasSuffix(cfg.Addr, ":0")) {
		cfg.Addr = ""
	}
	secret := cmp.Or(get("AWS_SESSION_TOKEN"), get("AWS_CONTAINER_AUTHORIZATION_TOKEN"))
	if cfg.Token == "" && lambda && secret != "" {
		mac := hmac.New(sha256.New, []byte(secret)) // the credential itself never travels
		mac.Write([]byte("hearth"))
		cfg.Token = hex.EncodeToString(mac.Sum(nil))
	}
	return cfg
}

// host is what the Host header says: the port is of no interest to the sidecar.
const host = "localhost"

// dial opens a connection to the first address where somebody listens.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var missing error
	if c.cfg.Socket != "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.cfg.Socket)
		if err == nil {
			return conn, nil
		}
		nobody := errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED)
		if !nobody || c.cfg.Addr == "" {
			return nil, fmt.Errorf("%w (%w)", ErrUnreachable, err)
		}
		missing = err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrUnreachable, errors.Join(missing, err))
	}
	if err := greet(ctx, conn); err != nil {
		_ = conn.Close() // nothing was said on it that matters
		return nil, fmt.Errorf("%w (what listens on %s does not answer as Hearth does, and was told nothing: %w)",
			ErrUnreachable, c.cfg.Addr, err)
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
