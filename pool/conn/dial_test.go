package conn

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// frames counts the HTTP/2 frames that come over c, by type, until it is closed. It answers with settings alone.
func frames(c net.Conn) map[byte]int {
	const header, settings = 9, 4
	seen := map[byte]int{}
	in := bufio.NewReader(c)
	if _, err := io.CopyN(io.Discard, in, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return seen
	}
	if _, err := c.Write([]byte{3: settings, header - 1: 0}); err != nil {
		return seen
	}
	for {
		var frame [header]byte
		if _, err := io.ReadFull(in, frame[:]); err != nil {
			return seen
		}
		seen[frame[3]]++
		if _, err := io.CopyN(io.Discard, in, int64(binary.BigEndian.Uint32(frame[:4])>>8)); err != nil {
			return seen
		}
	}
}

func TestAnIdleConnectionToAGRPCServerIsNotPinged(t *testing.T) {
	for _, grpc := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			const ping = 6
			tr := newTransport(DialConfig{HTTP2: grpc, Timeout: time.Second, Sessions: 1})
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetUnencryptedHTTP2(true)
			near, far := net.Pipe()
			tr.DialContext = func(context.Context, string, string) (net.Conn, error) { return near, nil }
			var seen map[byte]int
			var server sync.WaitGroup
			server.Go(func() { seen = frames(far) })
			c, err := tr.NewClientConn(t.Context(), "http", "upstream:80")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			alive := c.Err() == nil
			_ = c.Close()
			_ = far.Close()
			server.Wait()
			if pinged := seen[ping] > 0; pinged == grpc || alive != grpc {
				t.Errorf("gRPC %v: frames by type %v, alive: %v", grpc, seen, alive)
			}
		})
	}
}
