package sidecar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/guard"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
	"hearth/sidecar/chat"
)

// fail answers a request with the problem of an error.
func (s *Server) fail(r *request, err error) {
	r.setRetryAfter(retryAfter(err))
	r.refuse(s.problemOf(err))
}

// setRetryAfter tells the caller how long to wait; 0: that is not known.
func (r *request) setRetryAfter(wait time.Duration) {
	if wait > 0 {
		r.Response.Header.Set("Retry-After", strconv.Itoa(wholeSeconds(wait)))
	}
}

// problemOf returns the problem of an error. It logs an error that it does not know, and does not show its text to the caller.
func (s *Server) problemOf(err error) *wire.Problem {
	if p := requestProblem(err); p != nil {
		return p
	}
	if p := fetchProblem(err); p != nil {
		return p
	}
	if errors.Is(err, guard.ErrPanic) {
		return s.unexpected(err)
	}
	if p := s.severalProblem(err); p != nil {
		return p
	}
	if p := upstreamProblem(err); p != nil {
		return p
	}
	return s.poolProblem(err)
}

// problemAt makes a problem of a kind that names its upstream.
func problemAt(upstream string, kind wire.Kind, detail string) *wire.Problem {
	p := wire.NewProblem(kind, detail)
	p.Upstream = upstream
	return p
}

// requestProblem is the problem of an error that is about the request; nil: the error is about something else.
func requestProblem(err error) *wire.Problem {
	if p, ok := errors.AsType[*wire.Problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*odoo.ArgumentError](err); ok {
		return wire.BadField(e.Field, e.Detail)
	}
	if e, ok := errors.AsType[*weaviate.ChatIDError](err); ok {
		return wire.BadField("chat_id", e.Detail)
	}
	if e, ok := errors.AsType[*chat.NotConfiguredError](err); ok {
		return problemAt(e.Upstream, wire.KindNotConfigured, e.Detail)
	}
	if e, ok := errors.AsType[*cache.MayMissError](err); ok {
		return problemAt("weaviate", wire.KindMayMissWrites, fmt.Sprintf(
			"a replica may not show what was written last, and the cache has no room to remember it: ask again in %d s, or set HEARTH_CACHE_BYTES higher", wholeSeconds(max(e.Wait, 1))))
	}
	switch {
	case errors.Is(err, chat.ErrNoMuteEnd):
		return wire.BadField("until", "cannot be kept: HEARTH_MUTE_FIELDS names no property for it")
	case errors.Is(err, cache.ErrNotCached):
		return wire.NewProblem(wire.KindNotCached, "the request takes only what is held")
	case errors.Is(err, cache.ErrKeyReused):
		p := wire.NewProblem(wire.KindKeyReused, "the same key came before with another body")
		p.Field = wire.HeaderIdempotencyKey
		return p
	}
	return nil
}

// severalProblem is the problem of an error that holds other errors; nil: the error holds none.
func (s *Server) severalProblem(err error) *wire.Problem {
	if e, ok := errors.AsType[*chat.RepeatableError](err); ok {
		p := *s.problemOf(e.Err)
		p.Retryable = true
		return &p
	}
	if e, ok := errors.AsType[*chat.PartialError](err); ok {
		return partialProblem(e)
	}
	if e, ok := errors.AsType[*chat.ModelsError](err); ok {
		return s.modelsProblem(e)
	}
	return nil
}

// partialProblem lists what became of each message of a write.
func partialProblem(e *chat.PartialError) *wire.Problem {
	p := problemAt("weaviate", wire.KindPartial, "not every message was stored: see items")
	p.Retryable = e.Repeatable && e.Unknown()
	for _, i := range e.Items {
		item := wire.ItemOutcome{ID: i.ID, Outcome: wire.OutcomeStored}
		switch {
		case errors.Is(i.Err, pool.ErrUnknownOutcome):
			item.Outcome = wire.OutcomeUnknown
		case i.Err != nil:
			item.Outcome = wire.OutcomeFailed
		}
		if refused, ok := errors.AsType[*weaviate.Error](i.Err); ok {
			item.Detail = refused.Message
		}
		p.Items = append(p.Items, item)
	}
	return p
}

// modelsProblem is the problem with the highest status among the models', and holds all of them under errors.
func (s *Server) modelsProblem(e *chat.ModelsError) *wire.Problem {
	failed := s.problemsOf(e.Failed)
	gravest := failed[e.Names[0]]
	for _, name := range e.Names[1:] {
		if p := failed[name]; p.Status > gravest.Status {
			gravest = p
		}
	}
	p := *gravest
	p.Errors = failed
	return &p
}

func (s *Server) problemsOf(errs map[string]error) map[string]*wire.Problem {
	problems := make(map[string]*wire.Problem, len(errs))
	for name, err := range errs {
		problems[name] = s.problemOf(err)
	}
	return problems
}

// preprocessProblem is the problem of a preprocess whose parts all failed. Its detail joins the reasons. Its errors hold the problem
// of each part.
func preprocessProblem(parts map[string]*wire.Problem) *wire.Problem {
	var why []string
	retryable := true
	for _, p := range parts {
		why = append(why, p.Detail)
		retryable = retryable && p.Retryable
	}
	slices.Sort(why)
	p := wire.NewProblem(wire.KindPreprocess, strings.Join(slices.Compact(why), "; "))
	p.Errors, p.Retryable = parts, retryable
	return p
}

// upstreamProblem is the problem of an upstream's answer, or of a write without an answer; nil: the error is neither.
func upstreamProblem(err error) *wire.Problem {
	if errors.Is(err, pool.ErrUnknownOutcome) {
		return unknownOutcome(err)
	}
	if e, ok := errors.AsType[*odoo.Error](err); ok {
		p := problemAt("odoo", wire.KindOdoo, e.Message)
		p.Status, p.Retryable = odooStatus(e.Kind), e.Retryable
		return p
	}
	if e, ok := errors.AsType[*weaviate.Error](err); ok {
		p := problemAt("weaviate", cmp.Or(wire.Kind(e.Kind), wire.KindWeaviate), cmp.Or(e.Message, "the answer gives no reason: "+http.StatusText(e.Status)))
		p.Retryable = e.Retryable()
		if e.Status == http.StatusTooManyRequests {
			p.Status = http.StatusServiceUnavailable
		}
		return p
	}
	return nil
}

// odooStatus is the status of a call that Odoo refused or failed.
func odooStatus(k odoo.Kind) int {
	switch k {
	case odoo.Forbidden:
		return http.StatusForbidden
	case odoo.NotFound:
		return http.StatusNotFound
	case odoo.Conflict:
		return http.StatusConflict
	case odoo.Rejected:
		return http.StatusUnprocessableEntity
	case odoo.Failed:
	}
	return http.StatusBadGateway
}

// poolProblem is the problem of a call that brought no answer.
func (s *Server) poolProblem(err error) *wire.Problem {
	upstream := ""
	missing, ok := errors.AsType[*pool.Error](err)
	if ok {
		upstream, err = missing.Upstream, missing.Err
	}
	if e, ok := errors.AsType[*pool.RedirectError](err); ok {
		return problemAt(upstream, wire.KindRedirected, e.Error())
	}
	if e, ok := errors.AsType[*pool.SecretError](err); ok {
		p := problemAt(upstream, wire.KindSecret, e.Error())
		p.Retryable = e.Retryable
		return p
	}
	switch {
	case errors.Is(err, pool.ErrOpen):
		return problemAt(upstream, wire.KindUnavailable, missing.Explain())
	case errors.Is(err, pool.ErrQueueFull):
		return problemAt(upstream, wire.KindOverloaded, "every connection is in use and the queue is full")
	case errors.Is(err, errCallerLeft):
		return problemAt(upstream, wire.KindTimeout, "the caller closed its connection before there was an answer")
	case errors.Is(err, pool.ErrClosed), errors.Is(err, cache.ErrClosed), errors.Is(err, context.Canceled):
		return problemAt(upstream, wire.KindShuttingDown, "the sidecar is shutting down")
	case errors.Is(err, context.DeadlineExceeded):
		return problemAt(upstream, wire.KindTimeout, "there was no answer in time")
	case errors.Is(err, pool.ErrTooLarge):
		return problemAt(upstream, wire.KindAnswerTooLarge, "the answer has more bytes than one may have: a quarter of HEARTH_CACHE_BYTES")
	case upstream != "":
		p := problemAt(upstream, wire.KindUnreachable, missing.Explain())
		if e, ok := errors.AsType[*pool.ProxyError](err); ok && e.Refused() {
			p.Retryable = false
		}
		return p
	}
	return s.unexpected(err)
}

// unexpected logs an error whose text is for the log alone. The text of a panic holds its stack.
func (s *Server) unexpected(err error) *wire.Problem {
	s.cfg.Logger.Error("unexpected error", "error", err)
	return wire.NewProblem(wire.KindInternal, "the sidecar failed: its log says why")
}

// retryAfter is how long to wait before the call may succeed; 0: that is not known.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*cache.MayMissError](err); ok {
		return max(e.Wait, 1)
	}
	if e, ok := errors.AsType[*pool.Error](err); ok && e.RetryAfter > 0 {
		return e.RetryAfter
	}
	if e, ok := errors.AsType[*weaviate.Error](err); ok {
		return e.RetryAfter
	}
	if e, ok := errors.AsType[*odoo.Error](err); ok {
		return e.RetryAfter
	}
	if errors.Is(err, pool.ErrQueueFull) {
		return time.Second
	}
	return 0
}

// wholeSeconds is a duration as Retry-After has it: rounded up.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
