package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/bot"
)

// freshness is how old a reply may be: the default, except for Odoo's models, which are stale after a second. So a reply with models need
// not have the last change.
func freshness() bot.Freshness {
	f := bot.DefaultFreshness()
	f.OdooModels = 1
	return f
}

// staleIfError is how much longer a reply that is marked as stale may be served in an outage.
const staleIfError = 10 * time.Minute

// grade is how good a reply is. A higher one is worse.
type grade int

const (
	right   grade = iota
	isStale       // stale, marked as such, and within its policy
	failed        // an error that tells the true reason
	isWrong
)

// verdict is how good a reply is.
type verdict struct {
	what    grade
	kind    wire.Kind // of an error
	unknown bool      // of a write: it may or may not be done
	why     string    // why it is wrong
}

func wrong(format string, args ...any) verdict {
	return verdict{what: isWrong, why: fmt.Sprintf(format, args...)}
}

// reply is the reply to an attempt.
type reply struct {
	call         string
	trace        string // of the request, which the upstreams see
	deadline     time.Duration
	attempt      attempt
	noCache      bool        // the request said so
	also         []wire.Kind // kinds of problems that are honest besides the usual ones
	opaque       bool        // fault.opaque
	asked, ended time.Time
	status       int
	header       http.Header
	body         []byte
	err          error // the sidecar did not answer
}

// judge says how good the reply is, and tells the bot the outcome of a write. also are kinds of problems that are honest besides the usual
// ones.
func (r *reply) judge(also []wire.Kind) verdict {
	r.also = also
	v := r.grade()
	if r.attempt.settle != nil {
		switch {
		case v.what == right:
			r.attempt.settle(bot.Stored)
		case v.what == failed && !v.unknown:
			r.attempt.settle(bot.Refused)
		}
	}
	return v
}

func (r *reply) grade() verdict {
	switch {
	case r.err != nil:
		return wrong("the sidecar did not answer: %v", r.err)
	case bytes.Contains(r.body, []byte("Traceback")), bytes.Contains(r.body, []byte(lab.OdooKey)):
		return wrong("the reply shows what it must not")
	case r.call == "readyz" && (r.status == http.StatusOK || r.status == http.StatusServiceUnavailable),
		r.status >= 200 && r.status < 300:
		return r.attempt.judge(r)
	}
	var p wire.Problem
	if err := json.Unmarshal(r.body, &p); err != nil || r.header.Get("Content-Type") != "application/problem+json" || p.Status != r.status {
		return wrong("status %d, and the body is not its problem: %v", r.status, err)
	}
	return r.judgeProblem(&p, r.attempt.settle != nil)
}

// honest returns the kinds of problems that say that an upstream fails.
func honest() []wire.Kind {
	return []wire.Kind{
		wire.KindOdoo, wire.KindOverloaded, wire.KindPartial, wire.KindPreprocess, wire.KindTimeout, wire.KindUnknownOutcome,
		wire.KindUnreachable, wire.KindWeaviate, wire.KindMayMissWrites, "unavailable",
	}
}

func (r *reply) judgeProblem(p *wire.Problem, write bool) verdict {
	v := verdict{what: failed, kind: p.Kind()}
	switch {
	case !slices.Contains(append(honest(), r.also...), v.kind):
		return wrong("the problem blames something else: %s, %s", p.Type, p.Detail)
	case p.Detail == "" || p.Title == "" || p.Status < 400:
		return wrong("the problem says too little: %+v", *p)
	case v.kind == wire.KindUnknownOutcome && !write:
		return wrong("a read has an unknown outcome")
	case v.kind == wire.KindUnknownOutcome && p.Retryable && p.Upstream == "odoo":
		return wrong("an Odoo write of unknown outcome is called retryable")
	}
	v.unknown = v.kind == wire.KindUnknownOutcome || v.kind == wire.KindPartial
	for _, part := range p.Errors {
		if inner := r.judgeProblem(part, false); inner.what == isWrong {
			return inner
		}
	}
	return v
}

// stale says whether the reply says that it is stale.
func (r *reply) stale() bool {
	status := r.header.Get("Cache-Status")
	return strings.Contains(status, "ttl=-") || strings.Contains(status, "fwd=stale") && r.header.Get("Age") != "0"
}

// decoded decodes a reply and judges its content.
func (r *reply) decoded(into any, stale bool, judge func(bot.Freshness) error) verdict {
	if err := json.Unmarshal(r.body, into); err != nil {
		return wrong("the reply cannot be decoded: %v", err)
	}
	return r.allowed(stale, judge)
}

// allowed judges the content of a reply. With no-cache it must have the last change. Otherwise it may be as old as the policy allows for a
// fresh reply, or for one that is marked as stale.
func (r *reply) allowed(stale bool, judge func(bot.Freshness) error) verdict {
	f := freshness()
	if r.noCache {
		f = bot.Freshness{}
	}
	err := judge(f)
	switch {
	case err == nil && !stale:
		return verdict{what: right}
	case r.noCache && stale:
		return wrong("a request without cache got a stale reply")
	case stale:
		f.History, f.Mute = f.History+staleIfError, f.Mute+staleIfError
		if err = judge(f); err == nil {
			return verdict{what: isStale}
		}
	}
	if errors.Is(err, bot.ErrLost) {
		return verdict{what: isWrong, why: "LOST: " + err.Error()}
	}
	return wrong("%v", err)
}
