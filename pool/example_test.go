package pool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"hearth/pool"
)

func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path)
	}))
	defer server.Close()

	p, err := pool.New(pool.Config{Name: "upstream", URL: server.URL, Size: 3})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	if err := p.Warm(ctx); err != nil {
		panic(err)
	}
	for _, path := range []string{"/hello", "/missing"} {
		resp, err := p.Do(ctx, pool.Request{Method: http.MethodPost, Path: path, Body: []byte("{}"), Repeatable: true})
		if err != nil {
			panic(err)
		}
		fmt.Println(resp.Status, string(resp.Body))
	}
	s := p.Stats()
	fmt.Println("dials:", s.Dials, "open:", s.Open, "reused:", s.Reused)

	p.Close()
	_, err = p.Do(ctx, pool.Request{Method: http.MethodGet, Path: "/"})
	if e, ok := errors.AsType[*pool.Error](err); ok {
		fmt.Println(e, "- sent:", e.Sent, "- closed:", errors.Is(err, pool.ErrClosed))
	}
	// Output:
	// 200 POST /hello
	// 404 POST /missing
	// dials: 3 open: 3 reused: 2
	// upstream: pool closed - sent: false - closed: true
}
