package client_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"hearth/client"
	"hearth/client/wire"
)

// BenchmarkHistory is a call that Hearth answers at once: a history of 20 messages. The server only sends bytes, so that
// everything that is allocated is the client's.
func BenchmarkHistory(b *testing.B) {
	body, err := json.Marshal(someHistory())
	must(b, err)
	reply := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"+
		"Cache-Status: hearth; hit; ttl=2\r\nAge: 0\r\nServer-Timing: history;dur=0.015, total;dur=0.015\r\nEtag: \"2x49fv6oxh9kx\"\r\n\r\n%s",
		wire.ServerName, len(body), body)
	for _, network := range []string{"unix", "tcp"} {
		b.Run(network, func(b *testing.B) {
			c := newClient(b, sendAlways(b, network, reply))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.History(b.Context(), "chat", 10, 5); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func someHistory() *client.History {
	const turns = 10
	h := &client.History{ChatID: "chat"}
	for i := range turns {
		for _, role := range []client.Role{client.RoleUser, client.RoleAssistant} {
			m := client.Message{
				ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Role: role, CreatedAt: time.Unix(int64(i), 0).UTC(),
				Content: fmt.Sprintf("Where is parcel number %d of our order? It should have been here on day %d.", i, i),
			}
			h.AllMessages = append(h.AllMessages, m)
			h.MsgHistory = append(h.MsgHistory, client.PromptMessage{Role: role, Content: m.Content})
		}
	}
	h.UserMessages, h.AssistantMessages = h.AllMessages[:turns], h.AllMessages[turns:]
	return h
}

// sendAlways answers every request without a body by the same reply, until the benchmark ends.
func sendAlways(b *testing.B, network string, reply []byte) client.Config {
	b.Helper()
	cfg := client.Config{Socket: filepath.Join(shortDir(b), "s")}
	address := cfg.Socket
	if network == "tcp" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen(network, address)
	must(b, err)
	b.Cleanup(func() { _ = l.Close() })
	if network == "tcp" {
		cfg = client.Config{Addr: l.Addr().String()}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go sendAfterEach(conn, reply)
		}
	}()
	return cfg
}

func sendAfterEach(conn net.Conn, reply []byte) {
	defer conn.Close()
	for r := bufio.NewReader(conn); ; {
		line, err := r.ReadSlice('\n')
		if err == nil && len(line) == len("\r\n") { // the end of a request
			_, err = conn.Write(reply)
		}
		if err != nil {
			return
		}
	}
}
