// Command bare is the least server that does Hearth's work for a held reply: it checks a token and sends the same bytes. It is told
// what to send on its standard input, as JSON, and serves until that ends.
package main

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/valyala/fasthttp"

	"hearth/bench/speed"
	"hearth/client/wire"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var told speed.Bare
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(&told); err != nil {
		return fmt.Errorf("read what to send: %w", err)
	}
	tcp, tcpErr := new(net.ListenConfig).Listen(ctx, "tcp", told.Address)
	unix, unixErr := new(net.ListenConfig).Listen(ctx, "unix", told.Socket)
	if err := errors.Join(tcpErr, unixErr); err != nil {
		return err
	}
	ended := make(chan error, 3)
	for _, l := range []net.Listener{tcp, unix} {
		server := &fasthttp.Server{
			Handler: handler(told), Name: wire.ServerName,
			NoDefaultDate:   true,     // Hearth's replies have no date either
			WriteBufferSize: 17 << 10, // and leave in one write
		}
		go func() { ended <- server.Serve(l) }()
	}
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	return <-ended
}

func handler(told speed.Bare) fasthttp.RequestHandler {
	token := []byte(told.Token)
	get, post := sender(told.Get), sender(told.Post)
	return func(f *fasthttp.RequestCtx) {
		if subtle.ConstantTimeCompare(f.Request.Header.Peek(wire.HeaderToken), token) != 1 {
			f.SetStatusCode(fasthttp.StatusUnauthorized)
			return
		}
		if f.IsPost() {
			post(f)
		} else {
			get(f)
		}
	}
}

// sender sends the headers and the body. They are byte slices from the start, so that nothing is converted per request.
func sender(s speed.Sent) func(*fasthttp.RequestCtx) {
	type header struct{ name, value []byte }
	var headers []header
	for _, h := range s.Headers {
		headers = append(headers, header{[]byte(h[0]), []byte(h[1])})
	}
	kind := s.ContentType
	return func(f *fasthttp.RequestCtx) {
		f.SetContentType(kind)
		for _, h := range headers {
			f.Response.Header.SetBytesKV(h.name, h.value)
		}
		f.Response.SetBodyRaw(s.Body)
	}
}
