// Package cache remembers what the handler asked for: how fresh it is, who is fetching it, what a write made of it.
//
// Start at [Cache.Get] for what can always be fetched again (relevance, Odoo reads and models): encoded replies in
// ristretto (store.go). A chat's history and mute are not cached replies but state that writes change:
// [Cache.History] (history.go) reads the windows of a timeline (timeline.go), [Cache.Mute] (mute.go) a flag, and
// [Cache.BeginWrite] (write.go, claims.go) is how a write reaches both. They live in an LRU of our own (chats.go), because
// ristretto may drop or delay a Set. Acknowledged writes that loads may miss outlive their chat (recent.go, marks.go).
// Freshness is decided in policy.go, flights are shared in flight.go.
//
// The package fetches nothing itself and knows no upstream: every read brings a function that loads. Lock order:
// chats.mu and store.mu are never held together, and neither while loading, rendering or calling ristretto. flights.mu
// may be taken under chats.mu, and ristretto's Get called under it.
package cache

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"hearth/internal/clock"
	"hearth/internal/guard"
)

// Errors of a read.
var (
	// ErrNotCached occurs when the request wants only what is held, and it is not.
	ErrNotCached = errors.New("not cached")
	// ErrClosed occurs after Close.
	ErrClosed = errors.New("cache closed")
)

// Resource is a kind of thing remembered, for statistics and keys.
type Resource string

// The resources.
const (
	History    Resource = "history"
	Mute       Resource = "mute"
	Relevant   Resource = "relevant"
	OdooRead   Resource = "odoo_read"
	OdooModels Resource = "odoo_models"
)

// Resources lists them in the order in which they are reported.
func Resources() []Resource { return []Resource{History, Mute, Relevant, OdooRead, OdooModels} }

// Config of a cache.
type Config struct {
	Bytes       int64         // of everything remembered; default 64 MiB, at least 256 KiB
	Window      int           // messages loaded per role at least; default 50
	LoadTimeout time.Duration // of one load, whoever waits for it; default 30s
	Refresh     bool          // remember reads for Cache.Refresh
	Pulse       *clock.Pulse  // tells the time and notices freezes; nil: there are none
}

func (c Config) withDefaults() Config {
	c.Bytes = max(cmp.Or(c.Bytes, 64<<20), 256<<10)
	c.Window = cmp.Or(c.Window, 50)
	c.LoadTimeout = cmp.Or(c.LoadTimeout, 30*time.Second)
	if c.Pulse == nil {
		c.Pulse = clock.Awake()
	}
	return c
}

// Cache is safe for concurrent use.
type Cache struct {
	cfg      Config
	now      func() clock.Instant
	flights  *flights
	chats    *chats // half of the bytes
	store    *store // the other half, with upcoming
	upcoming upcoming
	large    chan struct{} // taken while a history too large to hold is encoded, which takes several times its size
	count    map[Resource]*counters
}

// New makes a cache. Close ends what it starts.
func New(cfg Config) (*Cache, error) {
	cfg = cfg.withDefaults()
	c := &Cache{cfg: cfg, now: cfg.Pulse.Now, flights: newFlights(cfg.Pulse, cfg.LoadTimeout), count: map[Resource]*counters{}, large: make(chan struct{}, 1)}
	for _, r := range Resources() {
		c.count[r] = &counters{}
	}
	var generations atomic.Uint64
	next := func() uint64 { return generations.Add(1) }
	rest := cfg.Bytes - cfg.Bytes/2
	c.upcoming.bytes = map[Resource]int64{}
	if cfg.Refresh {
		c.upcoming.max = rest / 8
	}
	c.chats = newChats(cfg.Bytes/2, next, c.now)
	var err error
	c.store, err = newStore(rest-c.upcoming.max, next)
	return c, err
}

// Close cancels loads in flight and waits for them.
func (c *Cache) Close() {
	c.flights.close()
	c.store.close()
}

// Reply is what a read brought, and how.
type Reply struct {
	Body []byte // encoded; not to be changed
	ETag string // of Body, quoted
	Origin
}

// Origin says where a reply came from.
type Origin struct {
	Served    Served
	Fwd       string        // why it was fetched, or was to be: "miss", "stale", "request"; empty if it was answered from memory alone
	Age       time.Duration // since its load began; at least 0
	TTL       time.Duration // left of its freshness; negative when stale
	Collapsed bool          // joined another request's load
}

// Served is how a read was answered.
type Served string

// The ways.
const (
	Hit   Served = "hit"
	Stale Served = "stale"
	Miss  Served = "miss"
)

// DropChat forgets one chat and returns how many things that were.
func (c *Cache) DropChat(chat string) int { return c.chats.drop(chat) + c.drop(chatScope(chat)) }

// DropModel forgets what was read of one Odoo model, its definition included.
func (c *Cache) DropModel(model string) int { return c.drop(modelScope(model)) }

// DropRecords forgets every record read from Odoo, which computes fields across models.
func (c *Cache) DropRecords() int { return c.drop(recordScope) }

// DropRelevant forgets the relevance results of one chat.
func (c *Cache) DropRelevant(chat string) int { return c.drop(chatScope(chat)) }

// DropAll forgets everything.
func (c *Cache) DropAll() int {
	c.upcoming.drop(func(Key) bool { return true })
	return c.chats.dropAll() + c.store.dropAll()
}

func (c *Cache) drop(s Scope) int {
	c.upcoming.drop(func(k Key) bool { return slices.Contains(k.Scopes, s) })
	return c.store.drop(s)
}

// counted is a load of r for a flight: a panic is an error, and errors are counted but those that Close makes.
func (c *Cache) counted(r Resource, load func(context.Context) (any, error)) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		v, err := guard.Get(func() (any, error) { return load(ctx) })
		if err != nil && c.flights.ctx.Err() == nil {
			c.count[r].errors.Add(1)
		}
		return v, err
	}
}
