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
	began() clock.Instant   // when the load of it began
	policy(p Policy) Policy // the policy that holds for it, if p is its resource's
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
//  3. Wait until the load or ctx ends. If ctx has ended already, no load begins.
//  4. If no result came in time, or the upstream cannot answer, answer with what is held now, if the policy allows that.
//  5. Count the read, once: a hit, a miss or a stale answer.
//
// If step 1 answers with something stale, read does not wait for the load that it has begun.
func read[V aged](ctx context.Context, c *Cache, q question, s source[V]) (v V, o Origin, err error) {
	d, counts := q.directives, c.counters[q.resource]
	var fl *flight
	var flightKey, reason string
	var joined bool
	var lapsed time.Duration // the age of what is held and not fresh any more
	load := c.guarded(q.resource, func(ctx context.Context) (any, error) { return s.load(ctx) })
	for fl == nil && ctx.Err() == nil {
		ended := c.flights.ended.Load()
		held, ok := s.look()
		verdict, p, age := fetch, q.policy, time.Duration(0)
		reason = "miss"
		if ok {
			p, age = held.policy(q.policy), c.now().Since(held.began())
			verdict, reason = p.judge(age, d)
			if reason == "stale" && p == q.policy {
				lapsed = age
			}
		}
		if verdict == fetch && d.OnlyIfCached {
			counts.count(Miss, d)
			return v, Origin{}, ErrNotCached
		}
		if verdict == fetch || verdict == serveAndRefresh {
			if flightKey == "" {
				flightKey = d.flightKey(s.pin())
				defer s.unpin() // once: the key is not empty any more
			}
			terms := flightTerms{
				key: flightKey, resource: q.resource, keeps: !d.NoStore, maxAge: q.policy.maxJoinAge(d), need: q.need, ended: ended,
			}
			if verdict == fetch {
				terms.refusal = c.refusal(ctx, terms)
				fl, joined = c.flights.start(ctx, terms, load)
			} else {
				c.flights.refresh(ctx, terms, load)
			}
		}
		if verdict != fetch { // no answer from memory waits for a load
			o = p.origin(Hit, age)
			counts.count(o.Served, d)
			return held, o, nil
		}
	}

	failure := Unasked
	if fl == nil {
		err = context.Cause(ctx)
	} else if v, failure, err = wait[V](ctx, c, fl); err == nil {
		if v, err = s.finish(v); err != nil {
			failure = c.failureOf(err)
		}
	}
	if err != nil {
		if held, p, age, ok := standIn(c, q, s, failure); ok {
			o = p.origin(Stale, age)
			if failure != Unasked {
				o = o.fetched(reason, joined)
			}
			counts.count(Stale, d)
			return held, o, nil
		}
		counts.count(Miss, d)
		var none V
		return none, Origin{}, err
	}
	counts.count(Miss, d)
	if lapsed > 0 {
		counts.lapse(lapsed, q.policy.Fresh)
	}
	return v, v.policy(q.policy).origin(Miss, c.now().Since(v.began())).fetched(reason, joined), nil
}

// refusal returns the error of a load that the pool would refuse now; nil: the load may begin, or none has to.
func (c *Cache) refusal(ctx context.Context, terms flightTerms) error {
	if c.cfg.Refuse == nil || c.flights.canJoin(terms) {
		return nil
	}
	return c.cfg.Refuse(ctx, terms.resource)
}

// standIn returns what is held, if the policy allows it as the answer after the failure.
func standIn[V aged](c *Cache, q question, s source[V], f Failure) (held V, p Policy, age time.Duration, ok bool) {
	if f != Down && f != Unasked {
		return held, p, 0, false
	}
	if held, ok = s.look(); !ok {
		return held, p, 0, false
	}
	p, age = held.policy(q.policy), c.now().Since(held.began())
	return held, p, age, p.mayServeOnError(age, q.directives)
}

// judgeHeld returns the origin of something that is held, if the request accepts it and no load is needed.
func judgeHeld(now clock.Instant, p Policy, d Directives, began clock.Instant) (Origin, bool) {
	age := now.Since(began)
	if v, _ := p.judge(age, d); v != serve && v != serveStale {
		return Origin{}, false
	}
	return p.origin(Hit, age), true
}

// wait waits until the load or ctx ends. If ctx ends first, that counts as Down.
func wait[V any](ctx context.Context, c *Cache, fl *flight) (v V, f Failure, err error) {
	got, done, err := c.flights.wait(ctx, fl)
	switch {
	case err == nil:
		v = got.(V) //nolint:forcetypeassert // the load of this source brought it
	case !done:
		f = Down
	default:
		f = c.failureOf(err)
	}
	return v, f, err
}
