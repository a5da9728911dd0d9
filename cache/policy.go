package cache

import "time"

// Policy says how long a thing is fresh, for how long after its freshness it is served while it is fetched
// again, and for how long after its freshness it is served when fetching fails.
type Policy struct {
	Fresh, WhileRevalidate, IfError time.Duration
}

// Directives are what a request says of freshness: Cache-Control as in RFC 9111.
type Directives struct {
	NoCache      bool           // only a load that starts after the request will do
	NoStore      bool           // keep nothing of it
	OnlyIfCached bool           // fetch nothing
	MaxAge       *time.Duration // nil: not given
	MinFresh     *time.Duration // nil: not given
	MaxStale     *time.Duration // nil: not given; negative: however stale
}

type verdict int

const (
	fetch   verdict = iota // not good enough
	serve                  // fresh
	lenient                // stale, and the request accepts that
	refresh                // stale, and to be fetched again meanwhile
)

// judge decides on something held of this age. The reason says why it is not served.
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
	case d.MaxAge == nil && age < p.Fresh+p.WhileRevalidate && d.bears(age-p.Fresh):
		if d.NoStore { // a load would be kept by nobody
			return lenient, ""
		}
		return refresh, ""
	case d.MaxStale != nil && d.bears(age-p.Fresh):
		return lenient, ""
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

// joinable is how old a load under way may be for a request to wait for it: what it brings is as old as its
// beginning.
func (p Policy) joinable(d Directives) time.Duration {
	if d.NoCache || d.NoStore {
		return 0
	}
	return p.freshFor(d)
}

// afterError says whether something held may stand in for a load that failed.
func (p Policy) afterError(age time.Duration, d Directives) bool {
	return !d.NoCache && d.MaxAge == nil && d.MinFresh == nil && age < p.Fresh+p.IfError && d.bears(age-p.Fresh)
}

// bears says whether the request accepts what is stale for so long.
func (d Directives) bears(stale time.Duration) bool {
	return d.MaxStale == nil || *d.MaxStale < 0 || stale <= *d.MaxStale
}

// flight names a load so that nobody shares it who would want it kept.
func (d Directives) flight(name string) string {
	if d.NoStore {
		return "no-store\x00" + name // no resource is named so
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

// standIn is the origin of what is served because its load, made for this reason, failed.
func (p Policy) standIn(age time.Duration, reason string, collapsed bool) Origin {
	o := p.origin(Stale, age)
	o.Fwd, o.Collapsed = reason, collapsed
	return o
}
