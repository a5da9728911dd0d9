package weaviate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/protobuf/proto"

	"hearth/internal/testing/testnet"
	"hearth/pool"
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

// BenchmarkRecent reads the newest messages of both roles from a server whose answers are written beforehand.
func BenchmarkRecent(b *testing.B) {
	for _, n := range []int{10, 50, 200} {
		pages := map[bool][]byte{}
		for _, isUser := range []bool{true, false} {
			pages[isUser] = frame(pageOf(map[bool]string{true: "user", false: "assistant"}[isUser], n+overfetch))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := benchClient(b, func(search []byte) []byte { return pages[!bytes.Contains(search, []byte("assistant"))] })
			b.ReportAllocs()
			for b.Loop() {
				got, err := c.Recent(b.Context(), "a", []string{"user", "assistant"}, n, n)
				if err != nil || len(got[0].Messages) < n || len(got[1].Messages) < n {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

// BenchmarkMute reads a mute from a server whose answers are written beforehand.
func BenchmarkMute(b *testing.B) {
	row := rowOf(map[string]*pb.Value{"chat_id": textValue("a"), "muted": boolValue(true)})
	answer := frame(&pb.SearchReply{Results: []*pb.SearchResult{row}})
	c := benchClient(b, func([]byte) []byte { return answer })
	b.ReportAllocs()
	for b.Loop() {
		if m, err := c.Mute(b.Context(), "a"); err != nil || !m.Muted {
			b.Fatal(m, err)
		}
	}
}

// frame is a message as gRPC sends it.
func frame(m proto.Message) []byte {
	body := marshal(m)
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...) //nolint:gosec // it is small
}

// benchClient is a client of a server that answers each search with a frame.
func benchClient(b *testing.B, answer func(search []byte) []byte) *Client {
	b.Helper()
	s, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != searchProcedure {
			_, _ = io.WriteString(w, ownSchema+"}")
			return
		}
		search, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/grpc+proto")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(answer(search))
		w.Header().Set("Grpc-Status", "0")
	}), testnet.Config{HTTP2: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	var pools [2]*pool.Pool
	for i := range pools {
		if pools[i], err = pool.New(pool.Config{Name: "weaviate", URL: s.URL, GRPC: i == 1}); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(pools[i].Close)
	}
	c := newClient(pools[0], pools[1], testConfig())
	if _, err := c.MessageChat(b.Context(), "a"); err != nil {
		b.Fatal(err)
	}
	return c
}
