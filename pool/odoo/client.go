// Package odoo is the questions Hearth asks Odoo: calls of a model's methods, and what a model looks like.
//
// Start reading at [Client.Call]. call.go checks a call, arguments.go puts its arguments in order, language.go adds the
// user's language. transport.go sends the call and reads the answer in one of Odoo's two protocols (json2.go, jsonrpc.go);
// fault.go turns an exception into an [*Error] that is the same in both protocols (error.go). connect.go finds out once which
// protocol Odoo has and which user the key belongs to. Only transport.go, connect.go and the protocols know of HTTP.
//
// The package keeps no connections (pool does) and no replies (cache does). It does not send a write twice, does not call private
// methods, and does not pass on Odoo's tracebacks.
package odoo

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"hearth/internal/guard"
	"hearth/pool"
)

// Protocol is how Odoo is spoken to.
type Protocol string

// The protocols of a [Config].
const (
	Auto    Protocol = "auto"    // JSON2 where Odoo has it and takes the key, else JSONRPC
	JSON2   Protocol = "json2"   // Odoo 19 and later; wants an API key
	JSONRPC Protocol = "jsonrpc" // every version until Odoo drops it; takes an API key or a password
)

// Config of a [Client].
type Config struct {
	Pool     Doer         // of Odoo's address
	DB       string       // database; JSON2 alone can do without, where the address serves only one
	User     string       // login; JSONRPC needs it or UID
	Key      string       // API key or password; if Secret is set, the name of the secret
	Secret   pool.Secret  // nil: Key itself
	UID      int          // of User; 0: asked for once when JSONRPC needs it
	Protocol Protocol     // default Auto
	Lang     string       // of labels, names and errors, "es_ES"; empty: the user's own
	Reads    []string     // methods that change nothing; nil: [DefaultReads]
	Logger   *slog.Logger // nil discards
}

func (c Config) withDefaults() Config {
	if c.Secret == nil {
		c.Secret = pool.Plain(c.Key)
	}
	if c.Protocol == "" {
		c.Protocol = Auto
	}
	if c.Reads == nil {
		c.Reads = DefaultReads()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate says all that is wrong with the config at once.
func (c Config) validate() error {
	var faults []error
	if c.Pool == nil {
		faults = append(faults, errors.New("odoo: a pool is needed"))
	}
	if c.Key == "" {
		faults = append(faults, errors.New("odoo: a key is needed"))
	}
	if c.Lang != "" && !ValidLang(c.Lang) {
		faults = append(faults, fmt.Errorf("odoo: the language %q is no code such as es_ES", c.Lang))
	}
	if c.UID < 0 {
		faults = append(faults, errors.New("odoo: the uid must not be negative"))
	}
	switch c.Protocol {
	case Auto, JSON2:
	case JSONRPC:
		if !c.canJSONRPC() {
			faults = append(faults, errors.New("odoo: jsonrpc needs a database and a user or uid"))
		}
	default:
		faults = append(faults, fmt.Errorf("odoo: the protocol %q is none of auto, json2, jsonrpc", c.Protocol))
	}
	return errors.Join(faults...)
}

func (c Config) canJSONRPC() bool { return c.DB != "" && (c.User != "" || c.UID != 0) }

// Client asks one Odoo database as one user. It is safe for concurrent use, and has no lock: a session does not change once
// it is made, and which one counts is a pointer.
type Client struct {
	cfg      Config
	reads    map[string]bool // never changed
	identity string

	session    atomic.Pointer[session] // nil until connected
	last       atomic.Pointer[session] // the last one
	moves      atomic.Int64            // how often a session had another language or key than the last one
	connecting singleflight.Group
}

// session is what connecting finds out. It does not change once it is made.
type session struct {
	protocol
	state State
}

// New makes a Client, or says all that is wrong with the config. It sends nothing: see [Client.Connect].
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, reads: make(map[string]bool, len(cfg.Reads))}
	for _, m := range cfg.Reads {
		c.reads[m] = true
	}
	url := ""
	if u, ok := cfg.Pool.(interface{ BaseURL() string }); ok {
		url = u.BaseURL()
	}
	h := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %q %q", url, cfg.DB, cfg.User, cfg.UID, cfg.Key, cfg.Lang))
	c.identity = hex.EncodeToString(h[:16])
	return c, nil
}

// Identity stands for what a reply depends on besides the call: Odoo's address (where [Config.Pool] has a BaseURL, as
// a pool does), the database, the user, the key and the language. It is a hash, the same for every run, and tells none of
// them. It changes if a later session finds the user with another language, or has another key: that may be another user's.
func (c *Client) Identity() string {
	if n := c.moves.Load(); n > 0 {
		return fmt.Sprint(c.identity, "-", n)
	}
	return c.identity
}

// State is what connecting has found out.
type State struct {
	Connected bool     // whether the rest is known
	Protocol  Protocol // JSON2 or JSONRPC
	Version   string   // of Odoo, "19.0"; empty if nobody needed to ask
	UID       int      // 0 if nobody needed to ask: under JSON2 the key says who we are
	Lang      string   // in which Odoo answers, "es_ES"; empty if the user has none
}

// State returns what is known now. It waits for nothing.
func (c *Client) State() State {
	if s := c.session.Load(); s != nil {
		return s.state
	}
	return State{}
}

// Connect finds out the protocol and the user, unless that is done. Callers at the same time share one attempt, which
// goes on when a caller gives up; it ends by the pool's timeouts, or by its Close. A failure is not remembered: the
// next call tries again.
//
// Errors are an [*Error] or a *[pool.Error].
func (c *Client) Connect(ctx context.Context) error {
	_, err := c.connected(ctx)
	return err
}

// Ping connects if need be and makes the cheapest call that needs the credentials. Errors are those of [Client.Call].
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.call(ctx, contextGet(), true)
	return err
}

// Check connects if need be, proves the credentials, and returns all that can be known of the connection: the version
// too where connecting had no need to ask. A language that is configured must be active. Errors are those of [Client.Call].
func (c *Client) Check(ctx context.Context) (State, error) {
	own, err := c.call(ctx, contextGet(), true)
	if err != nil {
		return State{}, err
	}
	state := c.State()
	state.UID = cmp.Or(state.UID, readUser(own).UID)
	if state.Version == "" {
		state.Version = c.webVersion(ctx)
	}
	if state.Version == "" {
		if state.Version, err = c.commonVersion(ctx); err != nil {
			return state, err
		}
	}
	if c.cfg.Lang != "" {
		err = c.languageActive(ctx)
	}
	return state, err
}

// connected returns the session, and connects if there is none.
func (c *Client) connected(ctx context.Context) (*session, error) {
	if s := c.session.Load(); s != nil {
		return s, nil
	}
	if pool.Probing(ctx) { // a probe shares no connecting: no call may wait for a probe
		return c.connectAndKeep(ctx)
	}
	// A panic within singleflight is raised again in a goroutine of its own, which ends the process: guard makes it an error.
	done := c.connecting.DoChan("", func() (any, error) {
		return guard.Get(func() (any, error) {
			if s := c.session.Load(); s != nil { // another caller's attempt has ended since this one looked
				return s, nil
			}
			return c.connectAndKeep(context.WithoutCancel(ctx))
		})
	})
	select {
	case r := <-done:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*session), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("odoo: waiting to connect: %w", context.Cause(ctx))
	}
}

func (c *Client) connectAndKeep(ctx context.Context) (*session, error) {
	s, err := c.connectByKey(ctx)
	if err == nil {
		c.keep(s)
	}
	return s, err
}

// keep makes s the session of the calls to come.
func (c *Client) keep(s *session) {
	if last := c.last.Swap(s); last != nil && (last.state.Lang != s.state.Lang || last.secret() != s.secret()) {
		c.moves.Add(1)
	}
	c.session.Store(s)
}
