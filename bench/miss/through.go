package miss

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"

	"hearth/bench/rig"
)

// hearthCaller asks Hearth over one connection.
type hearthCaller struct {
	conn    net.Conn
	replies *bufio.Reader
}

func dialHearth(ctx context.Context, h *rig.Hearth) (*hearthCaller, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", h.Address)
	if err != nil {
		return nil, err
	}
	return &hearthCaller{conn, bufio.NewReader(conn)}, nil
}

func (c *hearthCaller) close() { _ = c.conn.Close() }

// load is the way through Hearth. The call must be one that Hearth forwards.
func (c *hearthCaller) load(call rig.Call) way {
	return func(context.Context) error {
		reply, err := rig.Exchange(c.conn, c.replies, call)
		if status := reply.Header.Get("Cache-Status"); err == nil && !strings.HasPrefix(status, "hearth; fwd=") {
			err = fmt.Errorf("%s was not loaded: Cache-Status: %s", call.Path, status)
		}
		return err
	}
}
