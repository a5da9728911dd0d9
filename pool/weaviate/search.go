package weaviate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"connectrpc.com/connect"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/pool"
)

const searchProcedure = "/weaviate.v1.Weaviate/Search"

// newSearch makes the call Search. Answers must not be compressed: their size has to be known before they are read.
func newSearch(grpc *pool.Pool, credentials *credentials) *connect.Client[pb.SearchRequest, reply] {
	return connect.NewClient[pb.SearchRequest, reply](httpDoer{grpc, credentials}, grpc.BaseURL()+searchProcedure,
		connect.WithGRPC(), connect.WithCodec(codec{grpc.MaxAnswer()}), connect.WithAcceptCompression("gzip", nil, nil))
}

// httpDoer sends the requests of gRPC through a pool. An answer that is not of gRPC, such as a proxy's page, is an *Error.
type httpDoer struct {
	pool        *pool.Pool
	credentials *credentials
}

func (d httpDoer) Do(req *http.Request) (*http.Response, error) {
	req.Header.Del("Grpc-Timeout") // the server would end a call that gets more time after a freeze
	resp, err := d.pool.RoundTrip(req.WithContext(d.credentials.with(req.Context())))
	if err != nil {
		return nil, &transportError{err}
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostMessage+1))
	if err != nil {
		return nil, err
	}
	message := shorten(fmt.Sprintf("%s answers %s: %s", d.pool.Address(), resp.Status, text))
	return nil, &Error{Status: resp.StatusCode, Message: strings.TrimSuffix(message, ":")}
}

// transportError is the failure of a request that has no answer. Package connect would hide it behind a code.
type transportError struct{ error }

func (e *transportError) Unwrap() error { return e.error }

// ask sends one search of a class and returns its rows.
func (c *Client) ask(ctx context.Context, class *classInfo, req *pb.SearchRequest) ([]row, error) {
	rows, err := c.send(ctx, class, req)
	if e, ok := errors.AsType[*Error](err); ok && e.noClass {
		// While a server starts, it says of every class that it does not exist. The class is gone only if a ready server says so.
		if err = c.Ready(ctx); err == nil {
			rows, err = c.send(ctx, class, req)
		}
		if e, ok := errors.AsType[*Error](err); ok && e.noClass {
			class.loader.forget(class)
		}
	}
	return rows, err
}

// askUpTo asks for up to limit rows, or as many as the server allows, and says how many it has asked for.
func (c *Client) askUpTo(ctx context.Context, class *classInfo, limit int, req *pb.SearchRequest) (rows []row, asked int, err error) {
	for {
		limit = c.depth.fit(limit)
		req.Limit = uint32(limit) //nolint:gosec // at most mostRows
		rows, err = c.ask(ctx, class, req)
		if e, ok := errors.AsType[*Error](err); ok && e.tooDeep && c.depth.refuse(limit) {
			continue
		}
		if err == nil {
			c.depth.took(limit)
		}
		return rows, limit, err
	}
}

func (c *Client) send(ctx context.Context, class *classInfo, req *pb.SearchRequest) ([]row, error) {
	req.Collection = class.loader.name
	if class.tenants {
		req.Tenant = c.cfg.Tenant
	}
	if level := c.consistency(class); level != "" {
		req.ConsistencyLevel = pb.ConsistencyLevel(pb.ConsistencyLevel_value["CONSISTENCY_LEVEL_"+level]).Enum()
	}
	req.Uses_123Api, req.Uses_125Api, req.Uses_127Api = true, true, true
	if req.GetNearText() != nil || req.GetHybridSearch() != nil && len(req.GetHybridSearch().GetVectorBytes()) == 0 {
		ctx = withVectorizer(ctx)
	}
	ctx, sent := countSent(ctx, pool.Options{Repeatable: true, Kind: c.kindOf(req)})
	got, err := c.search.CallUnary(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, withRetryAfter(ctx, c.searchFailed(ctx, err, sent))
	}
	return got.Msg.rows, nil
}

// kindOf is the kind of a search for [pool.Options.Kind]. Relevance searches are a kind of their own, because a vectorizer takes time.
func (c *Client) kindOf(req *pb.SearchRequest) string {
	switch {
	case req.GetNearText() != nil, req.GetNearVector() != nil, req.GetHybridSearch() != nil, req.GetBm25Search() != nil:
		return "relevant"
	case req.GetCollection() == c.mute.name:
		return "mute"
	}
	return "history"
}

// searchFailed says in our words why a search has no reply.
func (c *Client) searchFailed(ctx context.Context, err error, sent func() int64) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return c.told(e)
	}
	transport, failed := errors.AsType[*transportError](err)
	tooLarge, isTooLarge := errors.AsType[*pool.TooLargeError](err)
	switch e, ok := errors.AsType[*connect.Error](err); {
	case isTooLarge:
		err = tooLarge
	case failed:
		err = transport.error
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case ok && connect.IsWireError(err):
		return c.told(statusError(e.Code(), e.Message()))
	case ok:
		return &Error{Status: http.StatusNotImplemented, Message: shorten(c.cfg.GRPC.Address() + " does not answer as gRPC does: " + e.Message())}
	}
	return c.cfg.GRPC.Failed(sent() > 0, err)
}

// depth is how deep a search may go: its offset and limit together. The server's QUERY_MAXIMUM_RESULTS says so, and only a refused
// search tells its value. The mutex guards both fields.
type depth struct {
	mu      sync.Mutex
	allowed int // the deepest search that was answered since the last refusal
	refused int // the least deep search that was refused; 0: none was yet
}

// mostRows is the server's QUERY_MAXIMUM_RESULTS by default.
const mostRows = 10_000

// fit returns how deep a search that wants to go n deep may try to go.
func (d *depth) fit(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n = min(n, mostRows)
	if d.refused == 0 || n < d.refused {
		return n
	}
	return max(1, (d.allowed+d.refused)/2)
}

func (d *depth) took(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.allowed = max(d.allowed, n)
	if d.refused <= d.allowed { // the server's setting has changed
		d.refused = 0
	}
}

// refuse takes note that a search of that depth was refused, and says whether a smaller one can be tried.
func (d *depth) refuse(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = n
	d.allowed = min(d.allowed, n-1)
	return n > 1
}

// Ping is a request that proves a connection for gRPC. It needs no key.
func Ping() pool.Request {
	const empty = "\x00\x00\x00\x00\x00" // a message of no bytes
	return pool.Request{
		Method: http.MethodPost, Path: "/grpc.health.v1.Health/Check", Body: []byte(empty), Repeatable: true,
		Header: http.Header{"Content-Type": {"application/grpc+proto"}, "Te": {"trailers"}},
	}
}

// Ask asks over REST whether the server is ready, and then sends a search in each class, as requests do.
func (c *Client) Ask(ctx context.Context) error {
	if err := c.Ready(ctx); err != nil {
		return err
	}
	return errors.Join(c.message.search(ctx), c.mute.search(ctx))
}

func (l *classLoader) search(ctx context.Context) error {
	class, err := l.use(ctx)
	if err != nil {
		return err
	}
	_, err = l.client.ask(ctx, class, &pb.SearchRequest{Limit: 1, Metadata: &pb.MetadataRequest{Uuid: true}})
	return err
}
