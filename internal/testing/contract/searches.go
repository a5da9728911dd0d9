package contract

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/protobuf/proto"
)

const searchPath = "/weaviate.v1.Weaviate/Search"

// searches matches the searches that is accepts. The request stays readable.
func searches(is func(*pb.SearchRequest) bool) func(*http.Request) bool {
	const prefix = 5 // bytes before the message, in gRPC
	return func(r *http.Request) bool {
		if r.URL.Path != searchPath {
			return false
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var req pb.SearchRequest
		return len(body) >= prefix && proto.Unmarshal(body[prefix:], &req) == nil && is(&req)
	}
}

// historyOf matches searches for messages whose filter has the role.
func (s *suite) historyOf(role string) func(*http.Request) bool {
	return searches(func(r *pb.SearchRequest) bool {
		return r.GetCollection() == s.messageClass && len(r.GetSortBy()) > 0 && strings.Contains(r.GetFilters().String(), role)
	})
}

func (s *suite) anyHistory() func(*http.Request) bool { return s.historyOf("") }

func (s *suite) relevantMessages() func(*http.Request) bool {
	return searches(func(r *pb.SearchRequest) bool { return r.GetCollection() == s.messageClass && len(r.GetSortBy()) == 0 })
}

func (s *suite) muteOf() func(*http.Request) bool {
	return searches(func(r *pb.SearchRequest) bool { return r.GetCollection() == s.muteClass })
}
