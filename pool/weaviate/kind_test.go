package weaviate

import (
	"testing"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

func TestTheKindOfASearch(t *testing.T) {
	c := &Client{mute: &classLoader{name: "ChatStatus"}}
	for want, requests := range map[string][]*pb.SearchRequest{
		"history":  {{Collection: "Message"}},
		"mute":     {{Collection: "ChatStatus"}},
		"relevant": {{NearText: &pb.NearTextSearch{}}, {NearVector: &pb.NearVector{}}, {HybridSearch: &pb.Hybrid{}}, {Bm25Search: &pb.BM25{}}},
	} {
		for _, req := range requests {
			if got := c.kindOf(req); got != want {
				t.Errorf("%v is a %s, want %s", req, got, want)
			}
		}
	}
}
