package sidecar_test

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"hearth/cache"
	"hearth/sidecar"
	"hearth/sidecar/chat"
)

// A server needs a cache, a service that answers its calls, and listeners. This one has no upstreams: their calls say so.
func Example() {
	memory, err := cache.New(cache.Config{})
	if err != nil {
		panic(err)
	}
	defer memory.Close()
	service, err := chat.New(chat.Config{Cache: memory, NoWeaviate: "HEARTH_WEAVIATE_URL is not set", NoOdoo: "HEARTH_ODOO_URL is not set"})
	if err != nil {
		panic(err)
	}
	server, err := sidecar.New(sidecar.Config{Cache: memory, Chat: service})
	if err != nil {
		panic(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	listener, err := sidecar.ListenTCP(ctx, "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	ended := make(chan error)
	go func() { ended <- server.Run(ctx, listener) }()

	for _, path := range []string{"/healthz", "/v1/odoo/models"} {
		resp, err := http.Get("http://" + listener.Addr().String() + path)
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		fmt.Println(resp.StatusCode, string(body))
	}

	stop()
	if err := <-ended; err != nil {
		panic(err)
	}
	// Output:
	// 200 {"status":"ok"}
	// 503 {"type":"/docs/errors.md#not-configured","title":"Upstream not configured","status":503,"detail":"HEARTH_ODOO_URL is not set","upstream":"odoo","retryable":false}
}
