// Package cache remembers what was read from the upstreams. It decides whether that is fresh enough for a request, shares
// loads between requests, and shows every acknowledged write in the next read.
//
// Start at read.go: there is one way to read that may wait, whatever is read. Before it a caller tries [Cache.Held],
// [Cache.HeldHistory] or [Cache.HeldMute], which answer from memory alone. Three things are read:
//
//   - [Cache.Get] (get.go): encoded replies that can always be fetched again (relevance, Odoo reads and models). They are in
//     ristretto, behind store.go.
//   - [Cache.History] (history.go): cut from the windows of a chat's timeline (timeline.go).
//   - [Cache.Mute] (mute.go): a flag of a chat.
//
// policy.go judges freshness; flight.go shares loads, and unwaited.go bounds those that nobody waits for. Then go on at write.go:
// [Cache.BeginMessages] and [Cache.BeginMute] are how writes reach a chat. Chats are in an LRU of our own (chats.go), because ristretto
// may drop or delay a Set. The acknowledged writes that loads may miss outlive their chat (recent.go, marks.go).
//
// The package fetches nothing itself and knows no upstream: every read brings a function that loads.
//
// # Locks
//
// A goroutine holds at most one of chats.mu, flights.mu, recentReads.mu and store.mu. Under it the goroutine calls nothing but
// the clock, whose lock is the last: no load, no rendering, no ristretto. Only store.filling is held during calls of ristretto.
// So the order is store.filling, ristretto's own locks, store.mu: ristretto takes store.mu through a callback when an entry
// leaves.
package cache

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"hearth/client/wire"
	"hearth/internal/clock"
	"hearth/internal/guard"
)

// Errors of a read.
var (
	// ErrNotCached occurs when the request wants only what is held, and nothing is held that it accepts.
	ErrNotCached = errors.New("not cached")
	// ErrClosed occurs after Close.
	ErrClosed = errors.New("cache closed")
)

// Failure is what the error of a load means.
type Failure int

// The failures. A stale reply may stand in for Down and Unasked (RFC 5861). The others are answers, so no stale reply hides them.
const (
	Wrong   Failure = iota // the upstream refused, or its answer cannot be used
	Missing                // the upstream says that there is no such thing: held for some seconds
	Down                   // the upstream gave no answer, or says that it cannot answer now
	Unasked                // the upstream was not asked
)

// failureOf is what an error means: that of a load, or one of this package.
func (c *Cache) failureOf(err error) Failure {
	_, mayMiss := errors.AsType[*MayMissError](err)
	_, failed := errors.AsType[*failedAnswer](err)
	switch {
	case mayMiss, failed:
		return Down
	case errors.Is(err, errShortLoad):
		return Wrong
	case errors.Is(err, ErrClosed):
		return Unasked
	}
	return c.cfg.Failure(err)
}

// Resource is a kind of thing that is read, for statistics and keys.
type Resource string

// The resources.
const (
	History    Resource = "history"
	Mute       Resource = "mute"
	Relevant   Resource = "relevant"
	OdooRead   Resource = "odoo_read"
	OdooModels Resource = "odoo_models"
	Fetched    Resource = "fetch" // each entry has its own policy
)

// Resources lists those that have a policy in the settings, in the order in which they are reported.
func Resources() []Resource { return []Resource{History, Mute, Relevant, OdooRead, OdooModels} }

func allResources() []Resource { return append(Resources(), Fetched) }

// token names the state of a chat or of a scope. A call that drops the state replaces its token, and tokens never repeat: a
// counter makes them. A load takes the token when it begins, and keeps what it brings only if the token is still the same when it
// ends. A request joins a flight only if both have the same token.
type token uint64

// Config of a cache.
type Config struct {
	Bytes       int64         // of everything remembered; default 64 MiB, at least 256 KiB
	Window      int           // messages per role that a load of a history asks for at least; default 50
	LoadTimeout time.Duration // of one load, unless the request that begins it waits for longer; default 30s
	Refresh     bool          // remember reads for Cache.Refresh
	Pulse       *clock.Pulse  // tells the time and notices freezes; nil: the process is never frozen

	Failure func(error) Failure // what the error of a load means; nil: the upstream is down

	// Refuse returns an error if the upstream's pool would refuse a load now. Such a load does not begin: the error is its result. If Refuse is
	// nil, every load begins.
	Refuse func(context.Context, Resource) error
}

func (c Config) withDefaults() Config {
	c.Bytes = max(cmp.Or(c.Bytes, 64<<20), 256<<10)
	c.Window = cmp.Or(c.Window, 50)
	c.LoadTimeout = cmp.Or(c.LoadTimeout, 30*time.Second)
	if c.Pulse == nil {
		c.Pulse = clock.Awake()
	}
	if c.Failure == nil {
		c.Failure = func(error) Failure { return Down }
	}
	return c
}

func (c Config) validate() error {
	var faults []error
	if c.Bytes < 0 {
		faults = append(faults, errors.New("cache: Config.Bytes must not be negative"))
	}
	if c.Window < 0 {
		faults = append(faults, errors.New("cache: Config.Window must not be negative"))
	}
	if c.LoadTimeout < 0 {
		faults = append(faults, errors.New("cache: Config.LoadTimeout must not be negative"))
	}
	return errors.Join(faults...)
}

// Cache is safe for concurrent use.
type Cache struct {
	cfg         Config
	now         func() clock.Instant
	flights     *flights
	chats       *chats // half of the bytes
	store       *store // the other half, less what recentReads may take
	recentReads *recentReads
	encoding    chan struct{} // holds one value while a history is encoded that is too large to hold: one at a time, for the memory
	counters    map[Resource]*counters
	short       shortReads
}

// New makes a cache. Close ends what it starts: the goroutines of ristretto.
func New(cfg Config) (*Cache, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	var tokens atomic.Uint64
	newToken := func() token { return token(tokens.Add(1)) }
	half := cfg.Bytes / 2
	var forReads int64
	if cfg.Refresh {
		forReads = (cfg.Bytes - half) / 8
	}
	store, err := newStore(cfg.Bytes-half-forReads, newToken)
	if err != nil {
		return nil, err
	}
	c := &Cache{
		cfg:         cfg,
		now:         cfg.Pulse.Now,
		flights:     newFlights(cfg.Pulse, cfg.LoadTimeout),
		chats:       newChats(half, newToken, cfg.Pulse.Now),
		store:       store,
		recentReads: newRecentReads(forReads),
		encoding:    make(chan struct{}, 1),
		counters:    map[Resource]*counters{},
	}
	for _, r := range allResources() {
		c.counters[r] = &counters{}
	}
	return c, nil
}

// Close cancels loads in flight and waits for them.
func (c *Cache) Close() {
	c.flights.close()
	c.store.close()
}

// Reply is an encoded reply and where it came from.
type Reply struct {
	Body []byte // not to be changed
	ETag string // of Body, quoted
	Origin
}

// Origin says where a reply came from.
type Origin struct {
	Served    Served
	Fwd       string        // why a load was needed: "miss", "stale" or "request"; empty if the reply came from memory alone
	Age       time.Duration // since its load began; at least 0
	TTL       time.Duration // left of its freshness; negative when stale
	Collapsed bool          // the load was another request's
}

// Served is how a read was answered.
type Served string

// The ways to answer a read.
const (
	Hit   Served = wire.CacheHit
	Stale Served = wire.CacheStale
	Miss  Served = wire.CacheMiss
)

// DropChat forgets one chat and returns how many things that were.
func (c *Cache) DropChat(chat string) int { return c.chats.drop(chat) + c.drop(chatScope(chat)) }

// DropModel forgets what was read of one Odoo model, its definition included.
func (c *Cache) DropModel(model string) int { return c.drop(modelScope(model)) }

// DropRecords forgets every record read from Odoo. A write to one model may change fields that Odoo computes in others.
func (c *Cache) DropRecords() int { return c.drop(recordScope()) }

// DropRelevant forgets the relevance results of one chat.
func (c *Cache) DropRelevant(chat string) int { return c.drop(chatScope(chat)) }

// DropAll forgets everything.
func (c *Cache) DropAll() int {
	c.recentReads.drop(func(Key) bool { return true })
	return c.chats.dropAll() + c.store.dropAll()
}

func (c *Cache) drop(s Scope) int {
	c.recentReads.drop(func(k Key) bool { return slices.Contains(k.Scopes[:], s) })
	return c.store.drop(s)
}

// guarded is a load of r for a flight. It turns a panic into an error, and counts errors except those of a load that was cancelled.
func (c *Cache) guarded(r Resource, load func(context.Context) (any, error)) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		v, err := guard.Get(func() (any, error) { return load(ctx) })
		if err != nil && !errors.Is(context.Cause(ctx), context.Canceled) {
			c.counters[r].errors.Add(1)
		}
		return v, err
	}
}
