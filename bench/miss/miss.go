// Package miss measures what Hearth adds to a call whose reply is not held: a history that must be loaded, beside the same questions
// asked of the upstream over a connection that is open already.
//
// Start at [Measure]. record.go finds out which questions those are.
package miss

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"golang.org/x/sync/errgroup"

	"hearth/bench/result"
	"hearth/bench/rig"
)

// Measure makes the calls one after another, each way in turn.
func Measure(ctx context.Context, r *rig.Rig) ([]result.Line, error) {
	questions, err := recordHistory(ctx, r)
	if err != nil {
		return nil, err
	}
	hearth, err := r.StartHearth(ctx, r.Hearth)
	if err != nil {
		return nil, err
	}
	defer hearth.Stop()
	through, err := dialHearth(ctx, hearth)
	if err != nil {
		return nil, err
	}
	defer through.conn.Close()
	straight := newDirect(r.Upstreams.WeaviateGRPC, questions)
	defer straight.close()

	warmUp, calls := 500, 5000
	if r.Short {
		warmUp, calls = 200, 1000
	}
	var ours, theirs []float64 // in microseconds
	for i := range warmUp + calls {
		ways := []struct {
			call    func(context.Context) error
			samples *[]float64
		}{{through.history, &ours}, {straight.ask, &theirs}}
		for j := range ways {
			way := ways[(i+j)%len(ways)]
			began := time.Now()
			if err := way.call(ctx); err != nil {
				return nil, hearth.Failed(err)
			}
			took := time.Since(began)
			if i >= warmUp {
				*way.samples = append(*way.samples, float64(took.Nanoseconds())/1000)
			}
		}
	}
	return []result.Line{
		result.Difference("miss_overhead_us", "µs", ours, theirs),
		result.Median("miss_hearth_us", "µs", ours), result.Median("miss_direct_us", "µs", theirs),
	}, nil
}

// hearthCaller asks Hearth over one connection.
type hearthCaller struct {
	conn    net.Conn
	replies *bufio.Reader
}

func dialHearth(ctx context.Context, h *rig.Hearth) (*hearthCaller, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", h.Address)
	if err != nil {
		return nil, err
	}
	return &hearthCaller{conn, bufio.NewReader(conn)}, nil
}

// history makes Hearth load the history.
func (c *hearthCaller) history(context.Context) error {
	reply, err := rig.Exchange(c.conn, c.replies, rig.FreshHistory())
	if status := reply.Header.Get("Cache-Status"); err == nil && !strings.HasPrefix(status, "hearth; fwd=") {
		err = fmt.Errorf("the history was not loaded: Cache-Status: %s", status)
	}
	return err
}

// direct asks the upstream.
type direct struct {
	transport *http.Transport
	search    *connect.Client[pb.SearchRequest, pb.SearchReply]
	questions []*pb.SearchRequest
}

func newDirect(grpc string, questions []*pb.SearchRequest) *direct {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	return &direct{
		transport: transport, questions: questions,
		search: connect.NewClient[pb.SearchRequest, pb.SearchReply](&http.Client{Transport: transport}, grpc+searchPath,
			connect.WithGRPC(), connect.WithAcceptCompression("gzip", nil, nil)),
	}
}

func (d *direct) close() { d.transport.CloseIdleConnections() }

// ask asks all questions at once, as Hearth does.
func (d *direct) ask(ctx context.Context) error {
	var g errgroup.Group
	for _, q := range d.questions {
		g.Go(func() error {
			reply, err := d.search.CallUnary(ctx, connect.NewRequest(q))
			if err == nil && len(reply.Msg.Results) == 0 {
				err = fmt.Errorf("no messages for %v", q)
			}
			return err
		})
	}
	return g.Wait()
}
