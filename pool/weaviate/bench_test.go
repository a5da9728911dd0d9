package weaviate

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

// pageOf is an answer with the n newest messages of a chat and a role, the newest first.
func pageOf(role string, n int) *pb.SearchReply {
	page := &pb.SearchReply{}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		r := rowOf(map[string]*pb.Value{
			"chat_id": textValue("a"), "role": textValue(role), "content": textValue(strings.Repeat("some words of a message ", 5)),
			"created_at": dateValue(at.Add(-time.Duration(i) * time.Minute).Format(time.RFC3339Nano)),
		})
		r.Metadata.Id = fmt.Sprintf("01890a5d-ac96-774b-bcce-%012d", i)
		page.Results = append(page.Results, r)
	}
	return page
}

func BenchmarkDecodeAPage(b *testing.B) {
	for _, n := range []int{10, 58, 200} {
		page := marshal(pageOf("user", n))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := readReply(page, math.MaxInt64); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
