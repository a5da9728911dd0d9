package cache

import "time"

// Policy says how long a thing is fresh, for how long after its freshness it is served while it is fetched
// again, and for how long after its freshness it is served when fetching fails.
type Policy struct {
	Fresh, WhileRevalidate, IfError time.Duration

	NeverStale bool // it is not served stale, whatever a request says
}

// Directives are what a request says of freshness: Cache-Control as in RFC 9111. Its tally goes with them to every read.
type Directives struct {
	NoCache      bool           // only a load that starts after the request will do
	NoStore      bool           // keep nothing of it
	OnlyIfCached bool           // fetch nothing
	MaxAge       *time.Duration // nil: not given
	MinFresh     *time.Duration // nil: not given
	MaxStale     *time.Duration // nil: not given; negative: however stale

	Tally *Tally // counts the request's reads; nil: nobody wants to know
}

type verdict int

const (
	fetch           verdict = iota // not good enough
	serve                          // fresh
	serveStale                     // stale, and the request accepts that
	serveAndRefresh                // stale, and to be fetched again meanwhile
)

// judge decides what to do with something that is held and has that age. The reason says why it is not served.
func (p Policy) judge(age time.Duration, d Directives) (v verdict, reason string) {
	reason = "stale"
	if age < p.Fresh {
		reason = "request"
	}
	switch {
	case d.NoCache:
		return fetch, "request"
	case d.MaxAge != nil && age >= *d.MaxAge:
		return fetch, reason
	case age < p.freshFor(d):
		return serve, ""
	case d.MinFresh != nil:
		return fetch, reason
	case d.MaxAge == nil && age < p.Fresh+p.WhileRevalidate && d.acceptsStale(age-p.Fresh):
		if d.OnlyIfCached || d.NoStore { // NoStore: what a load brings would not be kept
			return serveStale, ""
		}
		return serveAndRefresh, ""
	case d.MaxStale != nil && !p.NeverStale && d.acceptsStale(age-p.Fresh):
		return serveStale, ""
	}
	return fetch, reason
}

// freshFor is the age up to which the request takes something for fresh.
func (p Policy) freshFor(d Directives) time.Duration {
	limit := p.Fresh
	if d.MinFresh != nil {
		limit = max(0, limit-*d.MinFresh)
	}
	if d.MaxAge != nil {
		limit = min(limit, *d.MaxAge)
	}
	return limit
}

// maxJoinAge is how long ago a load under way may have begun for a request to join it: what it brings is as old as its
// beginning.
func (p Policy) maxJoinAge(d Directives) time.Duration {
	if d.NoCache || d.NoStore {
		return 0
	}
	return p.freshFor(d)
}

// mayServeOnError says whether something that is held and has that age may be the answer after a load has failed.
func (p Policy) mayServeOnError(age time.Duration, d Directives) bool {
	return !d.NoCache && d.MaxAge == nil && d.MinFresh == nil && age < p.Fresh+p.IfError && d.acceptsStale(age-p.Fresh)
}

// acceptsStale says whether the request accepts something that has been stale for that time.
func (d Directives) acceptsStale(stale time.Duration) bool {
	return d.MaxStale == nil || *d.MaxStale < 0 || stale <= *d.MaxStale
}

// flightKey is the key of a load. Loads for no-store have keys of their own, because what they bring is not kept.
func (d Directives) flightKey(name string) string {
	if d.NoStore {
		return "no-store\x00" + name // no resource has this name
	}
	return name
}

func (p Policy) origin(s Served, age time.Duration) Origin {
	age = max(0, age)
	if s == Hit && age >= p.Fresh {
		s = Stale
	}
	return Origin{Served: s, Age: age, TTL: p.Fresh - age}
}

// fetched is the origin of an answer for which a load was needed.
func (o Origin) fetched(because string, joined bool) Origin {
	o.Fwd, o.Collapsed = because, joined
	return o
}
