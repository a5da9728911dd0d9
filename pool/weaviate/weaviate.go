// Package weaviate asks a Weaviate what a chatbot needs to know: a chat's newest messages, those relevant to a
// text, whether the bot is muted; and writes messages and mutes.
//
// Start at [Client]. Each question is one file: recent.go, relevant.go, mute.go, append.go. Reads go over gRPC (search.go, and
// reply.go for the answers), writes and the schema over REST (rest.go). What the user's classes look like is loaded once (classinfo.go, load.go), and
// decides how chat ids (chat.go) and times (time.go) are written and read (row.go). The files check*.go, propose.go and
// schema.go are for the commands `hearth check` and `hearth schema` alone: no request comes there.
//
// Whatever the class's tokenization, no row of another chat is returned: each row's chat is compared with the
// one asked for. The package caches nothing but what the schema says.
package weaviate

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	"connectrpc.com/connect"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/batch"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/connection"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/data"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/db"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/schema"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/client/wire"
	"hearth/pool"
)

// Config of a [Client]. It names the classes and their properties.
type Config struct {
	REST, GRPC *pool.Pool // to the two addresses of the server
	APIKey     string
	Headers    map[string]string // sent with every call: the keys of vectorizers
	SecretKey  pool.Secret       // in place of APIKey; nil: none
	// SecretHeaders are headers whose values are secrets. Headers has none of these.
	SecretHeaders map[string]pool.Secret

	Consistency string // ONE, QUORUM or ALL, used where a class has replicas; empty: the server's default
	Tenant      string // for classes with multi-tenancy; left out for others
	Vector      string // name of the named vector; empty: the only one of the class

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

func (c Config) withDefaults() Config {
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if len(c.Message.User) == 0 {
		c.Message.User = []string{wire.RoleUser}
	}
	if len(c.Message.Assistant) == 0 {
		c.Message.Assistant = []string{wire.RoleAssistant}
	}
	return c
}

// validate says all that is wrong with the config at once.
func (c Config) validate() error {
	var faults []error
	needs := func(ok bool, what string) {
		if !ok {
			faults = append(faults, errors.New("weaviate: "+what))
		}
	}
	m, u := c.Message, c.Mute
	needs(c.REST != nil && c.GRPC != nil, "a pool for REST and one for gRPC are needed")
	needs(m.Class != "" && m.ChatID != "" && m.Role != "" && m.Content != "" && m.CreatedAt != "",
		"the class of messages and its properties of the chat, the role, the content and the time are needed")
	needs(u.Class != "" && u.ChatID != "" && u.Muted != "", "the class of mutes and its properties of the chat and of muted are needed")
	needs(!slices.ContainsFunc(m.User, func(value string) bool { return slices.Contains(m.Assistant, value) }),
		"a role is the user's and the assistant's")
	needs(slices.Contains([]string{"", "ONE", "QUORUM", "ALL"}, c.Consistency), "the consistency must be ONE, QUORUM or ALL")
	return errors.Join(faults...)
}

// Client asks one Weaviate through its pools. It is safe for concurrent use. It has no lock of its own: each part that
// changes has one (classLoader, depth, fallback), and none of them is taken under another.
type Client struct {
	cfg         Config
	credentials *credentials
	search      *connect.Client[pb.SearchRequest, reply]
	batch       *batch.API
	data        *data.API
	schema      *schema.API

	message, mute *classLoader
	loads         sync.WaitGroup // requests for the schema; Close waits for them
	depth         depth
	warnedForeign sync.Once
	noVectorizer  fallback
}

// New makes a client, or says all that is wrong with the config. It sends nothing.
//
// It joins the library's API groups itself: the library's own constructor asks the server for its version,
// under no context, before it returns.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	rest, credentials := cfg.REST, newCredentials(cfg)
	scheme, host, _ := strings.Cut(rest.BaseURL(), "://")
	con := connection.NewConnection(scheme, host,
		&http.Client{Transport: lightJSON{rest, credentials}, CheckRedirect: rest.Client().CheckRedirect}, 0, nil)
	runtime.SetFinalizer(con, nil) // the library's sends on a channel that nobody reads, and would block every other finalizer
	// The version decides between old and new object paths only; the new ones came with 1.14.
	version := db.NewVersionProvider(func() string { return "1.14.0" })
	support := db.NewDBVersionSupport(version)
	c := &Client{
		cfg: cfg, credentials: credentials, search: newSearch(cfg.GRPC, credentials),
		batch: batch.New(con, nil, support), data: data.New(con, support), schema: schema.New(con),
	}
	c.message = newClassLoader(c, cfg.Message.Class, c.messageClass)
	c.mute = newClassLoader(c, cfg.Mute.Class, c.muteClass)
	return c, nil
}

// Close waits for the requests for the schema whose callers may have left. Close the pools first: that ends them.
func (c *Client) Close() { c.loads.Wait() }
