package chat

import (
	"testing"

	"hearth/cache"
)

func TestTheOriginOfAReplyMadeOfTwo(t *testing.T) {
	hit := cache.Origin{Served: cache.Hit, Age: 1, TTL: 9}
	old := cache.Origin{Served: cache.Hit, Age: 5, TTL: 5}
	stale := cache.Origin{Served: cache.Stale, Age: 12, TTL: -2}
	miss := cache.Origin{Served: cache.Miss, Fwd: "miss", TTL: 10}
	for _, c := range []struct{ a, b, want cache.Origin }{
		{hit, old, cache.Origin{Served: cache.Hit, Age: 5, TTL: 5}},
		{old, miss, cache.Origin{Served: cache.Miss, Fwd: "miss", Age: 5, TTL: 5}},
		{miss, stale, cache.Origin{Served: cache.Stale, Age: 12, TTL: -2}},
	} {
		if got, back := mergeOrigins(c.a, c.b), mergeOrigins(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("%v and %v: %v and %v, want %v", c.a, c.b, got, back, c.want)
		}
	}
}
