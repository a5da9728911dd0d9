package weaviate_test

import (
	"context"
	"fmt"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
	"hearth/pool/weaviate"
)

func Example() {
	server, err := testnet.Serve(weaviatetest.New(), testnet.Config{HTTP2: true}) // answers REST and gRPC
	if err != nil {
		panic(err)
	}
	defer server.Close()
	open := func(grpc bool) *pool.Pool {
		p, err := pool.New(pool.Config{Name: "weaviate", URL: server.URL, GRPC: grpc})
		if err != nil {
			panic(err)
		}
		return p
	}
	rest, grpc := open(false), open(true)
	client, err := weaviate.New(weaviate.Config{
		REST: rest, GRPC: grpc,
		Message: weaviate.MessageClass{Class: "Message", ChatID: "chat_id", Role: "role", Content: "content", CreatedAt: "created_at"},
		Mute:    weaviate.MuteClass{Class: "ChatStatus", ChatID: "chat_id", Muted: "muted", Until: "muted_until"},
	})
	if err != nil {
		panic(err)
	}
	defer func() { rest.Close(); grpc.Close(); client.Close() }()

	ctx := context.Background()
	created, err := client.CreateClasses(ctx) // as `hearth schema` does
	fmt.Println(created, err)
	outcomes, err := client.Append(ctx, "chat 1", []weaviate.NewMessage{{Message: wire.Message{
		ID: "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", Role: wire.RoleUser, Content: "When does the ferry leave?",
		CreatedAt: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC),
	}}})
	fmt.Println(outcomes[0].Err, err)
	pages, err := client.Recent(ctx, "chat 1", []wire.Role{wire.RoleUser}, 10, 50)
	fmt.Println(pages[0].Messages[0].Content, pages[0].Complete, err)
	// Output:
	// [Message ChatStatus] <nil>
	// <nil> <nil>
	// When does the ferry leave? true <nil>
}
