package miss

import (
	"context"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"hearth/bench/rig"
)

const searchPath = "/weaviate.v1.Weaviate/Search"

// directSearch asks Weaviate what Hearth asks for a history.
type directSearch struct {
	transport *http.Transport
	client    *connect.Client[pb.SearchRequest, pb.SearchReply]
	questions []*pb.SearchRequest
}

func newDirectSearch(ctx context.Context, r *rig.Rig) (*directSearch, error) {
	asked, err := record(ctx, r, "HEARTH_WEAVIATE_GRPC_URL", r.Upstreams.WeaviateGRPC, true, rig.FreshHistory())
	if err != nil {
		return nil, err
	}
	d := &directSearch{transport: newTransport(true)}
	for _, q := range asked {
		search, err := searchOf(q)
		if err != nil {
			return nil, err
		}
		d.questions = append(d.questions, search)
	}
	if len(d.questions) != 2 {
		return nil, fmt.Errorf("a history asks %d questions and not one for each role", len(d.questions))
	}
	d.client = connect.NewClient[pb.SearchRequest, pb.SearchReply](&http.Client{Transport: d.transport}, r.Upstreams.WeaviateGRPC+searchPath,
		connect.WithGRPC(), connect.WithAcceptCompression("gzip", nil, nil))
	return d, nil
}

// searchOf reads a search from the body of a gRPC request.
func searchOf(q question) (*pb.SearchRequest, error) {
	const prefix = 5 // whether the message is compressed, and its length
	if q.path != searchPath || len(q.body) < prefix || q.body[0] != 0 {
		return nil, fmt.Errorf("a question is no plain search: %s %q", q.path, q.body)
	}
	search := &pb.SearchRequest{}
	return search, proto.Unmarshal(q.body[prefix:], search)
}

func (d *directSearch) close() { d.transport.CloseIdleConnections() }

// ask asks all questions at once, as Hearth does.
func (d *directSearch) ask(ctx context.Context) error {
	var g errgroup.Group
	for _, q := range d.questions {
		g.Go(func() error {
			reply, err := d.client.CallUnary(ctx, connect.NewRequest(q))
			if err == nil && len(reply.Msg.GetResults()) == 0 {
				err = fmt.Errorf("no messages for %v", q)
			}
			return err
		})
	}
	return g.Wait()
}
