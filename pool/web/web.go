// Package web sends requests to the hosts that HEARTH_FETCH_ALLOW lists, and to no other.
//
// Start at [Client.Do], which sends one request. Before that, [Allow.Check] checks the caller's URL (allow.go, url.go), [Header] checks
// the headers (header.go), and [Allow.Redirected] checks each redirect (redirect.go). For each connection, address.go decides whether the
// address that the host's name has resolved to may be connected to. The connections are those of package pool, one pool for each origin.
//
// The package follows no redirect by itself, remembers nothing, and goes through no proxy: a proxy would resolve the names.
package web

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	"hearth/pool"
)

// poolSize is how many requests of one origin are under way at the same time, and how many of its connections are kept.
const poolSize = 8

// Methods returns the methods that a request may have.
func Methods() []string {
	return []string{
		http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	}
}

// IsSafe says whether a method changes nothing, so that it may be sent twice.
func IsSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// Config of a client.
type Config struct {
	Allow     Allow       // the only origins that are asked
	Pool      pool.Config // of each pool; the client sets what depends on the origin, and uses no Proxy
	UserAgent string      // of a request that has none
}

// Client asks the origins of an allow-list. It is safe for concurrent use.
//
// mu guards the fields below it. Pools are made under mu, and nothing is sent.
type Client struct {
	cfg       Config
	addresses *addresses

	mu     sync.Mutex
	pools  map[Origin]*pool.Pool // guarded by mu; those of the origins that were asked
	closed bool                  // guarded by mu
}

// New makes a client. It opens no connection.
func New(cfg Config) *Client {
	cfg.Pool.UserAgent, cfg.Pool.Proxy = "", nil
	return &Client{cfg: cfg, addresses: newAddresses(cfg.Allow), pools: map[Origin]*pool.Pool{}}
}

// Allow is the allow-list.
func (c *Client) Allow() Allow { return c.cfg.Allow }

// Request is one request to an origin of the allow-list.
type Request struct {
	Method string
	Target Target
	Header http.Header
	Body   []byte
}

// Answer is the whole answer, whatever its status. A redirect is an answer too.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // decompressed, unless the caller asked for compression
}

// Text returns the headers of the answer by their names, as a caller sees them.
func (a *Answer) Text() map[string]string { return textOf(a.Header) }

// Do sends a request. A method that is not safe is sent once; if it may have been carried out although no answer came, the error
// wraps [pool.ErrUnknownOutcome]. If the host has no address that may be connected to, the error wraps a *NotAllowedError.
func (c *Client) Do(ctx context.Context, req Request) (*Answer, error) {
	host := req.Target.Origin.HostPort()
	p, err := c.pool(req.Target.Origin)
	if err != nil {
		return nil, &pool.Error{Upstream: host, Err: err}
	}
	header := req.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", c.cfg.UserAgent)
	}
	unzips := header.Get("Accept-Encoding") == "" && header.Get("Range") == "" // a part of a compressed answer cannot be decompressed
	if unzips {
		header.Set("Accept-Encoding", "gzip")
	}
	resp, err := p.Do(ctx, pool.Request{
		Method: req.Method, Path: req.Target.Path, Header: header, Body: req.Body, Repeatable: IsSafe(req.Method),
	})
	if e, ok := errors.AsType[*pool.RedirectError](err); ok {
		resp, err = e.Answer, nil
	}
	if err != nil {
		if e, ok := errors.AsType[*pool.Error](err); ok && e.Sent && !IsSafe(req.Method) {
			return nil, fmt.Errorf("%w: %w", pool.ErrUnknownOutcome, err)
		}
		return nil, err
	}
	a := &Answer{Status: resp.Status, Header: resp.Header, Body: resp.Body}
	if size := sizeOf(a.Header); size > maxHeaderBytes {
		return nil, &pool.Error{Upstream: host, Sent: true, Err: &pool.TooLargeError{Bytes: size, Most: maxHeaderBytes}}
	}
	if unzips && strings.EqualFold(a.Header.Get("Content-Encoding"), "gzip") && len(a.Body) > 0 {
		if err := a.unzip(p.MaxAnswer()); err != nil {
			return nil, &pool.Error{Upstream: host, Address: p.Address(), Sent: true, Err: err}
		}
	}
	return a, nil
}

// unzip decompresses the body, to at most most bytes.
func (a *Answer) unzip(most int64) error {
	z, err := gzip.NewReader(bytes.NewReader(a.Body))
	if err != nil {
		return fmt.Errorf("the answer is not compressed by gzip as it says: %w", err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(io.LimitReader(z, most+1)); err != nil {
		return fmt.Errorf("the answer cannot be decompressed: %w", err)
	}
	if int64(b.Len()) > most {
		return &pool.TooLargeError{Most: most}
	}
	a.Header = maps.Clone(a.Header)
	a.Header.Del("Content-Encoding")
	a.Header.Del("Content-Length")
	a.Body = b.Bytes()
	return nil
}

func sizeOf(h http.Header) (n int64) {
	for name, values := range h {
		for _, v := range values {
			n += int64(len(name) + len(v))
		}
	}
	return n
}

// pool is the pool of an origin. The first request makes it.
func (c *Client) pool(o Origin) (*pool.Pool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, pool.ErrClosed
	}
	if p := c.pools[o]; p != nil {
		return p, nil
	}
	cfg := c.cfg.Pool
	cfg.Name, cfg.URL, cfg.Size, cfg.Control = o.HostPort(), o.URL(), cmp.Or(cfg.Size, poolSize), c.addresses.control
	cfg.OwnError = func([]byte) bool { return true } // a 500 says something about its URL, and nothing about the host
	cfg.Varied = true
	p, err := pool.New(cfg)
	if err != nil {
		return nil, err
	}
	c.pools[o] = p
	return p, nil
}

// Pools returns the pools of the origins that were asked, by their URLs.
func (c *Client) Pools() map[string]*pool.Pool {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]*pool.Pool, len(c.pools))
	for o, p := range c.pools {
		all[o.URL()] = p
	}
	return all
}

// Close ends the requests under way and closes the connections. It returns when all is done.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	var closing sync.WaitGroup
	for _, p := range c.Pools() {
		closing.Go(p.Close)
	}
	closing.Wait()
}
