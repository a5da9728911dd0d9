package sidecar

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"hearth/internal/monitor"
	"hearth/sidecar/chat"
)

// What a client in the same process sees of a reply that is held, beside a bare fasthttp server that sends as many bytes.

func BenchmarkHit(b *testing.B) {
	benchmarkHeld(b, "GET", "/v1/chats/c/history?num_messages=10", "")
}

func BenchmarkHeldPreprocess(b *testing.B) {
	benchmarkHeld(b, "POST", "/v1/preprocess", `{"chat_id":"c","text":"what did I order?","route_name":"odoo_erp","enable_odoo":true,"num_messages":10}`)
}

func benchmarkHeld(b *testing.B, method, path, body string) {
	const token = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	a := newAPI(b, newUpstreams().withClasses("text", "text"), func(c *Config, _ *chat.Config) { c.Token = token })
	asks := []string{"X-Hearth-Token", token}
	var messages []string
	for i := range 10 {
		for _, role := range []string{"user", "assistant"} {
			messages = append(messages, fmt.Sprintf(`{"role":%q,"content":"message %d about an order, its delivery and the bill"}`, role, i))
		}
	}
	a.want(http.StatusCreated, "POST", "/v1/chats/c/messages", "["+strings.Join(messages, ",")+"]", asks...)
	want := a.want(http.StatusOK, method, path, body, asks...)
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nX-Hearth-Token: %s\r\n", method, path, token)
	if body != "" {
		request += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	request += "\r\n" + body

	b.Run("hearth", func(b *testing.B) { exchange(b, strings.TrimPrefix(a.url, "http://"), request) })
	b.Run("bare", func(b *testing.B) {
		l := listenerFor(b)
		server := &fasthttp.Server{Name: "bare", NoDefaultDate: true, Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Request.Header.Peek("X-Hearth-Token")) != token {
				ctx.SetStatusCode(http.StatusUnauthorized)
				return
			}
			for name := range want.header {
				if name != "Content-Length" && name != "Server" {
					ctx.Response.Header.Set(name, want.header.Get(name))
				}
			}
			ctx.Response.SetBodyRaw([]byte(want.body))
		}}
		done := make(chan error, 1)
		go func() { done <- server.Serve(l) }()
		exchange(b, l.Addr().String(), request)
		_ = server.Shutdown()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
}

// exchange sends a request again and again over one connection.
func exchange(b *testing.B, addr, request string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReaderSize(c, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(c, request); err != nil {
			b.Fatal(err)
		}
		length := -1
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 2 {
				break
			}
			if bytes.HasPrefix(line, []byte("HTTP/1.1 204 ")) {
				length = 0
			} else if bytes.HasPrefix(line, []byte("Content-Length: ")) {
				length = 0
				for _, digit := range line[len("Content-Length: ") : len(line)-2] {
					length = 10*length + int(digit-'0')
				}
			}
		}
		if n, err := in.Discard(length); err != nil {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkTimings is the end of an invocation with five operations of the handler.
func BenchmarkTimings(b *testing.B) {
	a := newAPI(b, newUpstreams(), func(c *Config, _ *chat.Config) { c.Monitor = monitor.New(monitor.Config{FunctionName: "f"}) })
	timing := `{"operation":"parallel_message_history","duration_ms":52.34}`
	body := `{"function_ms":812.5,"timings":[` + strings.Repeat(timing+",", 4) + timing + `]}`
	request := fmt.Sprintf("POST /v1/timings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	exchange(b, strings.TrimPrefix(a.url, "http://"), request)
}
