package weaviatetest

import (
	"context"
	"errors"
	"net/http"
	"time"

	"connectrpc.com/connect"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// The gRPC methods, as the paths that hooks and request counts see.
const (
	searchPath = "/weaviate.v1.Weaviate/Search"
	healthPath = "/grpc.health.v1.Health/Check"
)

func (s *Server) methods() map[string]http.Handler {
	return map[string]http.Handler{
		searchPath: connect.NewUnaryHandler(searchPath, s.answerSearch),
		healthPath: connect.NewUnaryHandler(healthPath, s.answerHealth),
	}
}

// SetFailSearch makes searches fail: fail is asked for each, and its error is the answer. A connect error has a code
// of its own; any other has the code Unknown, as nearly all refusals of the real server. nil lets all pass.
func (s *Server) SetFailSearch(fail func(*pb.SearchRequest) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failSearch = fail
}

func (s *Server) answerSearch(_ context.Context, r *connect.Request[pb.SearchRequest]) (*connect.Response[pb.SearchReply], error) {
	s.mu.RLock()
	fail := s.failSearch
	s.mu.RUnlock()
	if fail != nil {
		if err := fail(r.Msg); err != nil {
			return nil, err
		}
	}
	begun := time.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	results, err := s.searchLocked(r.Msg, r.Header())
	if f, ok := errors.AsType[*failure](err); ok && f.status == http.StatusForbidden {
		return nil, connect.NewError(connect.CodePermissionDenied, err)
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.SearchReply{
		Took: float32(time.Since(begun).Seconds()), Results: results, GenerativeGroupedResult: new(""),
	}), nil
}

// answerHealth needs no key.
func (s *Server) answerHealth(
	context.Context, *connect.Request[grpc_health_v1.HealthCheckRequest],
) (*connect.Response[grpc_health_v1.HealthCheckResponse], error) {
	return connect.NewResponse(&grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}), nil
}
