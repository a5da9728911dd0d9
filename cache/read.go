package cache

import (
	"context"
	"time"

	"hearth/internal/clock"
)

// source is one thing to read: what is held of it, and how it is loaded. V is a value with the time of its load; a value does not
// change. Every method takes the locks that it needs. Only load may run on another goroutine, and load may run on after the read
// has ended.
type source[V aged] interface {
	// look returns what is held, if that is as much as the request wants.
	look() (V, bool)
	// pin keeps in memory, until unpin, what the caller of a load needs. It returns the name of the load. The token is a part of
	// the name, so that a request after a drop does not join a load from before the drop.
	pin() (name string)
	unpin()
	// load fetches, and keeps what it brings unless that was dropped meanwhile.
	load(ctx context.Context) (V, error)
	// finish makes the caller's answer from what a load brought.
	finish(loaded V) (V, error)
}

type aged interface {
	began() clock.Instant // when the load of it began
}

// policyOf is the policy of v: its own if it has one, else the request's.
func policyOf[V aged](v V, p Policy) Policy {
	if own, ok := any(v).(interface{ policy(of Policy) Policy }); ok {
		return own.policy(p)
	}
	return p
}

// question is what is asked of a source.
type question struct {
	resource   Resource
	policy     Policy
	directives Directives
	need       int // how much a load must bring
}

// read answers a question, in five steps:
//
//  1. Judge whether what is held is good enough. If so, that is the answer; if it is stale, a load may begin beside it.
//  2. Join a load under way that began late enough and brings enough, or begin one.
//  3. Wait until the load or ctx ends.
//  4. If no result came, answer with what is held now, if the policy allows that.
//  5. Count the read, once: a hit, a miss or a stale answer.
//
// A load that read itself begins, it begins after step 1. It waits for that load, unless it answers with something stale.
func read[V aged](ctx context.Context, c *Cache, q question, s source[V]) (v V, o Origin, err error) {
	d, count := q.directives, c.counters[q.resource]
	var fl *flight
	var flightKey, reason string
	var joined bool
	for fl == nil {
		ended := c.flights.ended.Load()
		held, ok := s.look()
		verdict, age, p := fetch, time.Duration(0), q.policy
		reason = "miss"
		if ok {
			p = policyOf(held, p)
			age = c.now().Since(held.began())
			verdict, reason = p.judge(age, d)
		}
		if verdict == fetch && d.OnlyIfCached {
			count.misses.Add(1)
			return v, Origin{}, ErrNotCached
		}
		if verdict == fetch || verdict == serveAndRefresh {
			if flightKey == "" {
				flightKey = d.flightKey(s.pin())
				defer s.unpin() // once: the key is not empty any more
			}
			terms := flightTerms{key: flightKey, maxAge: p.maxJoinAge(d), need: q.need, ended: ended}
			fl, joined = c.flights.start(ctx, terms, c.guarded(q.resource, func(ctx context.Context) (any, error) { return s.load(ctx) }))
		}
		if verdict != fetch { // no answer from memory waits for a load
			o = p.origin(Hit, age)
			count.served(o.Served)
			return held, o, nil
		}
	}

	v, err = wait[V](ctx, fl)
	if err == nil {
		v, err = s.finish(v)
	}
	if err != nil {
		if held, ok := s.look(); ok {
			p := policyOf(held, q.policy)
			if age := c.now().Since(held.began()); p.mayServeOnError(age, d) {
				count.stale.Add(1)
				return held, p.origin(Stale, age).fetched(reason, joined), nil
			}
		}
	}
	count.misses.Add(1)
	if err != nil {
		var none V
		return none, Origin{}, err
	}
	return v, policyOf(v, q.policy).origin(Miss, c.now().Since(v.began())).fetched(reason, joined), nil
}

// judgeHeld says where something comes from that is held, if the request accepts it and needs no load.
func judgeHeld(now clock.Instant, p Policy, d Directives, began clock.Instant) (Origin, bool) {
	age := now.Since(began)
	if v, _ := p.judge(age, d); v != serve && v != serveStale {
		return Origin{}, false
	}
	return p.origin(Hit, age), true
}

func wait[V any](ctx context.Context, fl *flight) (v V, err error) {
	got, err := fl.wait(ctx)
	if err == nil {
		v = got.(V) //nolint:forcetypeassert // the load of this source brought it
	}
	return v, err
}
