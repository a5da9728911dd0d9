// Package weaviate asks a Weaviate what a chatbot needs to know: a chat's newest messages, those relevant to a
// text, whether the bot is muted; and writes messages and mutes.
//
// Start at [Client]. Each question is one file: recent.go, relevant.go, mute.go, append.go. Reads go over gRPC (ask.go),
// writes and the schema over REST. What the user's classes look like is learned once (class.go, learn.go), and decides how
// chat ids (chat.go) and times (time.go) are written and read (row.go). check.go says what is wrong with the classes.
//
// Whatever the class's tokenization, no row of another chat is returned: each row's chat is compared with the
// one asked for. The package caches nothing but what the schema says.
package weaviate

import (
	"cmp"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"

	"connectrpc.com/connect"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/batch"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/connection"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/data"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/db"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/schema"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/pool"
)

// Config names the classes and their properties.
type Config struct {
	APIKey      string
	Headers     map[string]string // sent with every call: the keys of vectorizers
	Consistency string            // ONE, QUORUM or ALL, used where a class has replicas; empty: the server's default
	Tenant      string            // for classes with multi-tenancy; left out for others
	Vector      string            // name of the named vector; empty: the only one of the class

	Message MessageClass
	Mute    MuteClass

	Logger *slog.Logger // nil discards
}

// MessageClass is the class of messages, its properties, and the stored values of the two roles. CreatedAt may be
// [CreationTime].
type MessageClass struct {
	Class, ChatID, Role, Content, CreatedAt string
	User, Assistant                         []string // the first is written, all are read; default user and assistant
}

// MuteClass is the class of mutes and its properties. Until may be empty.
type MuteClass struct{ Class, ChatID, Muted, Until string }

// CreationTime stands for the time at which the server first stored an object, for classes without a time of their own.
const CreationTime = "_creationTimeUnix"

// Client asks one Weaviate through its pools. It is safe for concurrent use.
type Client struct {
	cfg    Config
	rest   *pool.Pool
	grpc   *pool.Pool
	search *connect.Client[pb.SearchRequest, pb.SearchReply]
	header http.Header // of requests that the library cannot make
	batch  *batch.API
	data   *data.API
	schema *schema.API

	message, mute *classLearner
	lessons       sync.WaitGroup // requests for the schema
	depth         depth
	warnedForeign sync.Once
	noVectorizer  fallback
}

// New makes a client over the pools for REST and for gRPC. It sends nothing.
//
// It joins the library's API groups itself: the library's own constructor asks the server for its version,
// under no context, before it returns.
func New(rest, grpc *pool.Pool, cfg Config) *Client {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if len(cfg.Message.User) == 0 {
		cfg.Message.User = []string{"user"}
	}
	if len(cfg.Message.Assistant) == 0 {
		cfg.Message.Assistant = []string{"assistant"}
	}
	header := http.Header{}
	for name, value := range cfg.Headers {
		header.Set(name, value)
	}
	if cfg.APIKey != "" {
		header.Set("Authorization", "Bearer "+cfg.APIKey)
	}
	headers := map[string]string{}
	for name := range header {
		headers[name] = header.Get(name)
	}
	scheme, host, _ := strings.Cut(rest.BaseURL(), "://")
	con := connection.NewConnection(scheme, host, &http.Client{Transport: lightJSON{rest}, CheckRedirect: rest.Client().CheckRedirect}, 0, headers)
	runtime.SetFinalizer(con, nil) // the library's sends on a channel that nobody reads, and would block every other finalizer
	// The version decides between old and new object paths only; the new ones came with 1.14.
	version := db.NewVersionProvider(func() string { return "1.14.0" })
	support := db.NewDBVersionSupport(version)
	c := &Client{
		cfg: cfg, rest: rest, grpc: grpc, search: newSearch(grpc, header), header: header,
		batch: batch.New(con, nil, support), data: data.New(con, support), schema: schema.New(con),
	}
	c.message = newClassLearner(c, cfg.Message.Class, c.messageClass)
	c.mute = newClassLearner(c, cfg.Mute.Class, c.muteClass)
	return c
}

// Close returns when nothing is under way that a caller may have given up. Its pools are to be closed before.
func (c *Client) Close() { c.lessons.Wait() }
