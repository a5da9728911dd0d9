// Package weaviate asks a Weaviate what a chatbot needs to know: a chat's newest messages, those relevant to a
// text, whether the bot is muted; and writes messages and mutes.
//
// Start at [Client]. Each question is one file: recent.go, search.go, mute.go, append.go. Queries are GraphQL
// text in which every value is a JSON-encoded string (query.go); schema.go knows the user's classes.
//
// Whatever the class's tokenization, no row of another chat is returned: each row's chat is compared with the
// one asked for. The package caches nothing but what the schema says.
package weaviate

import (
	"cmp"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weaviate/weaviate-go-client/v4/weaviate/batch"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/connection"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/data"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/db"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/graphql"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/misc"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/schema"
	"golang.org/x/sync/singleflight"

	"hearth/pool"
)

// Config names the classes and their properties.
type Config struct {
	APIKey      string
	Consistency string // ONE, QUORUM or ALL, used where a class has replicas; empty: the server's default
	Tenant      string // for classes with multi-tenancy
	Vector      string // name of the named vector; empty: the unnamed one

	Message MessageClass
	Mute    MuteClass

	Logger *slog.Logger // nil discards
}

// MessageClass is the class of messages and its properties.
type MessageClass struct{ Class, ChatID, Role, Content, CreatedAt string }

// MuteClass is the class of mutes and its properties.
type MuteClass struct{ Class, ChatID, Muted, Until string }

// Client asks one Weaviate through one pool. It is safe for concurrent use.
type Client struct {
	cfg     Config
	pool    *pool.Pool
	graphql *graphql.API
	batch   *batch.API
	data    *data.API
	schema  *schema.API
	misc    *misc.API

	noBatch       atomic.Bool // /v1/graphql/batch was refused: ask one by one
	warnedForeign sync.Once

	learning singleflight.Group
	facts    sync.Map // class name → *facts
}

// New makes a client. It sends nothing.
//
// It joins the library's API groups itself: the library's own constructor asks the server for its version,
// under no context, before it returns.
func New(p *pool.Pool, cfg Config) *Client {
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	scheme, host, _ := strings.Cut(p.BaseURL(), "://")
	headers := map[string]string{}
	if cfg.APIKey != "" {
		headers["Authorization"] = "Bearer " + cfg.APIKey
	}
	con := connection.NewConnection(scheme, host, p.Client(), 0, headers)
	runtime.SetFinalizer(con, nil) // the library's sends on a channel that nobody reads, and would block every other finalizer
	// The version decides between old and new object paths only; the new ones came with 1.14.
	version := db.NewVersionProvider(func() string { return "1.14.0" })
	support := db.NewDBVersionSupport(version)
	return &Client{
		cfg: cfg, pool: p,
		graphql: graphql.New(con), batch: batch.New(con, nil, support), data: data.New(con, support),
		schema: schema.New(con), misc: misc.New(con, version),
	}
}
