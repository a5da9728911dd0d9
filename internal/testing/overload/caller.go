package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/client/wire"
	"hearth/internal/testing/lambdatest"
)

// The callers and the upstream run on the same processors as the sidecar. So they do as little as they can: a caller decodes no answer,
// and the upstream's answer is always the same.

// errRefused is the error of a call that the sidecar refused as overloaded.
var errRefused = errors.New("refused")

// caller calls the sidecar over a connection of its own, as the process of each invocation does in a managed instance.
type caller struct {
	http  fasthttp.HostClient
	token string
	req   fasthttp.Request
	resp  fasthttp.Response
}

func newCaller(socket string) *caller {
	c := &caller{}
	c.token, _ = wire.DeriveToken(lambdatest.SessionToken, "")
	c.http = fasthttp.HostClient{
		Addr: "localhost", MaxConns: 1, MaxIdleConnDuration: time.Hour,
		Dial:       func(string) (net.Conn, error) { return net.Dial("unix", socket) },                                  //nolint:noctx // a local socket answers at once
		RetryIfErr: func(_ *fasthttp.Request, attempts int, _ error) (reset, retry bool) { return false, attempts < 2 }, // all calls are reads
	}
	return c
}

func (c *caller) close() { c.http.CloseIdleConnections() }

// search makes a search that the cache does not hold, if text is new.
func (c *caller) search(text string) error {
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return err
	}
	return c.call(http.MethodPost, "/v1/chats/chat/relevant", body)
}

// history asks for a history that the cache holds.
func (c *caller) history() error {
	return c.call(http.MethodGet, "/v1/chats/held/history?num_messages=10&full_text_len=5", nil)
}

func (c *caller) call(method, uri string, body []byte) error {
	c.req.Reset()
	c.req.Header.SetMethod(method)
	c.req.SetRequestURI(uri)
	c.req.SetHost("localhost")
	c.req.Header.Set(wire.HeaderToken, c.token)
	if body != nil {
		c.req.Header.SetContentType("application/json")
		c.req.SetBody(body)
	}
	if err := c.http.Do(&c.req, &c.resp); err != nil {
		return err
	}
	switch status := c.resp.StatusCode(); {
	case status == http.StatusOK:
		return nil
	case bytes.Contains(c.resp.Body(), []byte(wire.KindOverloaded)):
		return errRefused
	default:
		return fmt.Errorf("status %d: %s", status, c.resp.Body())
	}
}

// serveSearches answers searches as an upstream with so many workers does: each works for serviceTime on one of them.
func serveSearches(workers int) func(http.ResponseWriter, *http.Request) bool {
	busy := make(chan struct{}, workers)
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/Search") {
			return false
		}
		busy <- struct{}{}
		time.Sleep(serviceTime)
		<-busy
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		_, _ = w.Write(make([]byte, 5)) // a reply without results; an error means that the caller has left
		return true
	}
}
