package pool

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Warm opens connections until n (at most Config.Size) are open, all at the same time, and returns when each
// has carried one request or ctx ends. Over HTTP/2 one connection serves all n.
func (p *Pool) Warm(ctx context.Context, n int) error {
	p.warming.Lock()
	defer p.warming.Unlock()
	if n = min(n, p.cfg.Size); p.transport.opened() >= n {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()

	// A request that ended before the next began would lend it its connection. So none goes on until all
	// have one; one that fails sets the others free.
	var all sync.WaitGroup
	all.Add(n)
	ready := make(chan struct{})
	go func() { all.Wait(); close(ready) }()

	var g errgroup.Group
	for range n {
		arrived := sync.OnceFunc(all.Done)
		g.Go(func() error {
			defer arrived()
			ctx := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
				arrived()
				select {
				case <-ready:
				case <-ctx.Done():
				}
			}})
			_, err := p.Do(ctx, Request{Method: http.MethodGet, Path: p.cfg.WarmPath})
			return err
		})
	}
	return g.Wait()
}
