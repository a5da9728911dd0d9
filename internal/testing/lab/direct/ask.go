package direct

import (
	"bytes"
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
)

//go:embed direct.py
var python string

// Python is the module direct.py.
func Python() []byte { return []byte(python) }

// Ask makes each stage's calls at the same time, one stage after another. It returns the replies by the calls' names.
func Ask(ctx context.Context, trust *tls.Config, stages [][]Call) (map[string][]byte, error) {
	replies := map[string][]byte{}
	for _, stage := range stages {
		g, ctx := errgroup.WithContext(ctx)
		got := make([][]byte, len(stage))
		for i, c := range stage {
			send := askOdoo
			if c.GRPC {
				send = askWeaviate
			}
			g.Go(func() (err error) { got[i], err = send(ctx, trust, c); return err })
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		for i, c := range stage {
			replies[c.Name] = got[i]
		}
	}
	return replies, nil
}

// askWeaviate asks Weaviate over a channel of its own.
func askWeaviate(ctx context.Context, trust *tls.Config, c Call) (reply []byte, err error) {
	channel, err := grpc.NewClient(c.Host, grpc.WithTransportCredentials(credentials.NewTLS(trust)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, channel.Close()) }()
	var req pb.SearchRequest
	if err := proto.Unmarshal(c.Body, &req); err != nil {
		return nil, err
	}
	found, err := pb.NewWeaviateClient(channel).Search(ctx, &req)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(found)
}

// askOdoo asks Odoo over a connection of its own.
func askOdoo(ctx context.Context, trust *tls.Config, c Call) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.Host+c.Path, bytes.NewReader(c.Body))
	if err != nil {
		return nil, err
	}
	for name, value := range c.Headers {
		req.Header.Set(name, value)
	}
	resp, err := (&http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %.300s", c.Name, resp.Status, b)
	}
	return b, err
}
