// Package weaviatetest is a stand-in for a Weaviate 1.39.3: the part of its REST and gRPC API that Hearth uses, with
// the same answers, kept in memory. Start at New; serve it with testnet. REST takes any HTTP, gRPC needs HTTP/2, and one
// Server may be served at two addresses, as the real one is.
//
// Of gRPC it has Search and the health check: the message types that Hearth links are those of 1.27, which has no
// Aggregate. The text of most errors is the real server's. What the stand-in does not cover it refuses in words that
// begin with "stand-in:", so that a test cannot pass on a guess. No references, arrays of objects, groups, several
// vectors in one search, or replicas. TestSameAsReal compares it with a real server.
package weaviatetest

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/internal/testing/testnet"
)

// Version is what the stand-in says it is.
const Version = "1.39.3"

// Server is the stand-in, an http.Handler. It is safe for concurrent use.
type Server struct {
	testnet.Knobs

	cfg  Config
	keys atomic.Pointer[map[string]User]
	grpc map[string]http.Handler // by path

	mu         sync.RWMutex
	classes    map[string]*class             // guarded by mu
	aliases    map[string]string             // guarded by mu: the class that each means
	failBatch  func(Object) error            // guarded by mu
	failSearch func(*pb.SearchRequest) error // guarded by mu
	clock      int64                         // guarded by mu: the last creation or update time given, in ms
}

// Config is how a server is set up.
type Config struct {
	Keys       map[string]User // who may do what, by API key; without any, everybody may do everything
	Modules    []string        // vectorizers that classes may have, as "text2vec-openai"
	MaxResults int             // what limit and offset of a search may come to; 10,000 if 0
}

// New returns a server without any class that everybody may use.
func New() *Server { return NewWith(Config{}) }

// NewWith returns a server without any class. It panics if a module is not covered.
func NewWith(cfg Config) *Server {
	for _, m := range cfg.Modules {
		if modules[m].header == "" {
			panic("stand-in: module " + m + " is not covered")
		}
	}
	cfg.MaxResults = cmp.Or(cfg.MaxResults, 10000)
	s := &Server{cfg: cfg, classes: map[string]*class{}, aliases: map[string]string{}}
	s.SetKeys(cfg.Keys)
	s.grpc = s.methods()
	return s
}

// SetFailBatch makes objects of a batch write fail: fail is asked for each, and the text of its error becomes the
// object's verdict. An object it refuses is not stored. nil lets all pass.
func (s *Server) SetFailBatch(fail func(Object) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failBatch = fail
}

// nowLocked is the wall clock in milliseconds, never going back. The caller holds mu for writing.
func (s *Server) nowLocked() int64 {
	s.clock = max(s.clock, time.Now().UnixMilli())
	return s.clock
}

// failure is an answer other than 2xx: a status with {"error":[{"message":…}]}, or with {"code":…,"message":…} when
// the request did not get past the door, or with no body at all.
type failure struct {
	status int
	code   int
	msg    string
}

func (f *failure) Error() string { return f.msg }

func refuse(status int, msg string) error { return &failure{status: status, msg: msg} }

var errNotFound = refuse(http.StatusNotFound, "")

type handler func(w http.ResponseWriter, r *http.Request, args []string) error

// route matches a path of literal segments, and "*" for one decoded segment passed to the handlers.
type route struct {
	path    []string
	methods map[string]handler
}

func (s *Server) routes() []route {
	return []route{
		{[]string{".well-known", "ready"}, map[string]handler{"GET": s.ready}},
		{[]string{".well-known", "live"}, map[string]handler{"GET": s.ready}},
		{[]string{"meta"}, map[string]handler{"GET": s.meta}},
		{[]string{"schema"}, map[string]handler{"GET": s.listClasses, "POST": s.addClass}},
		{[]string{"schema", "*"}, map[string]handler{"GET": s.getClass, "DELETE": s.deleteClass}},
		{[]string{"schema", "*", "tenants"}, map[string]handler{"GET": s.listTenants, "POST": s.addTenants, "PUT": s.setTenants}},
		{[]string{"schema", "*", "tenants", "*"}, map[string]handler{"GET": s.hasTenant, "HEAD": s.hasTenant}},
		{[]string{"batch", "objects"}, map[string]handler{"POST": s.batchObjects}},
		{[]string{"objects"}, map[string]handler{"POST": s.postObject}},
		{[]string{"objects", "*", "*"}, map[string]handler{
			"GET": s.getObject, "PATCH": s.patchObject, "PUT": s.putObject, "DELETE": s.deleteObject,
		}},
		{[]string{"aliases"}, map[string]handler{"GET": s.listAliases, "POST": s.addAlias}},
		{[]string{"aliases", "*"}, map[string]handler{"GET": s.getAlias, "PUT": s.moveAlias, "DELETE": s.deleteAlias}},
		{[]string{"users", "own-info"}, map[string]handler{"GET": s.ownInfo}},
	}
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.Before(w, r) {
		return
	}
	if h := s.grpc[r.URL.Path]; h != nil && r.ProtoMajor >= 2 {
		h.ServeHTTP(w, r)
		return
	}
	err := s.serve(w, r)
	if err == nil {
		return
	}
	f, ok := errors.AsType[*failure](err)
	switch {
	case !ok:
		reply(w, http.StatusInternalServerError, errorBody(err.Error()))
	case f.code != 0:
		reply(w, f.status, map[string]any{"code": f.code, "message": f.msg})
	case f.msg == "":
		w.WriteHeader(f.status)
	default:
		reply(w, f.status, errorBody(f.msg))
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	h, args, err := s.find(r)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(r.URL.Path, "/v1/.well-known/") {
		if err := s.knock(r.Header); err != nil {
			return err
		}
	}
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "application/json" {
			if t == "" {
				t = "application/octet-stream"
			}
			return &failure{415, 415, "unsupported media type " + strconv.Quote(t) +
				", only [application/yaml application/json] are allowed"}
		}
	}
	if l := r.URL.Query().Get("consistency_level"); l != "" && !slices.Contains([]string{"ONE", "QUORUM", "ALL"}, l) {
		return refuse(http.StatusBadRequest, "unrecognized consistency level '"+l+
			"', try one of the following: ['ONE', 'QUORUM', 'ALL']")
	}
	return h(w, r, args)
}

func (s *Server) find(r *http.Request) (handler, []string, error) {
	segments := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	for _, rt := range s.routes() {
		args, ok := rt.match(segments)
		if !ok {
			continue
		}
		if h := rt.methods[r.Method]; h != nil {
			return h, args, nil
		}
		var allowed []string
		for m := range rt.methods {
			allowed = append(allowed, m)
		}
		slices.Sort(allowed)
		return nil, nil, &failure{405, 405, "method " + r.Method + " is not allowed, but [" +
			strings.Join(allowed, ",") + "] are"}
	}
	return nil, nil, &failure{404, 404, "path " + r.URL.Path + " was not found"}
}

func (rt route) match(segments []string) (args []string, ok bool) {
	if len(segments) != len(rt.path)+1 || segments[0] != "v1" {
		return nil, false
	}
	for i, want := range rt.path {
		got, err := url.PathUnescape(segments[i+1])
		switch {
		case err != nil || got == "":
			return nil, false
		case want == "*":
			args = append(args, got)
		case got != want:
			return nil, false
		}
	}
	return args, true
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request, _ []string) error {
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) meta(w http.ResponseWriter, r *http.Request, _ []string) error {
	reply(w, http.StatusOK, map[string]any{
		"grpcMaxMessageSize": 104858000, "hostname": "http://" + r.Host, "modules": s.moduleInfo(), "version": Version,
	})
	return nil
}

// readBody decodes the request's JSON into v.
func readBody(r *http.Request, v any) error {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return &failure{422, 602, "body in body is required"}
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return &failure{400, 400, `parsing body body from "" failed, because ` + err.Error()}
	}
	return nil
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a client that left cannot be told
}

func errorBody(msg string) map[string]any {
	return map[string]any{"error": []any{map[string]any{"message": msg}}}
}
