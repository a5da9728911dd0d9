package sidecar

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/guard"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
)

func problem(status int, kind wire.Kind, detail string) *wire.Problem {
	p := wire.NewProblem(kind, detail)
	p.Status = status
	return p
}

func (s *Server) notConfigured(upstream, variables string) *wire.Problem {
	p := problem(http.StatusServiceUnavailable, "not-configured", variables)
	p.Upstream = upstream
	return p
}

// problemOf says in the API's words what went wrong. What it does not know is logged, and not shown.
func (s *Server) problemOf(err error) *wire.Problem {
	of := func(upstream string, status int, kind wire.Kind, detail string, retryable bool) *wire.Problem {
		p := problem(status, kind, detail)
		p.Upstream, p.Retryable = upstream, retryable
		return p
	}
	if p, ok := errors.AsType[*wire.Problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*odoo.ArgumentError](err); ok {
		return wire.BadField(e.Field, e.Detail)
	}
	if e, ok := errors.AsType[*cache.MayMissError](err); ok {
		return of("weaviate", http.StatusServiceUnavailable, "may-miss-writes", fmt.Sprintf(
			"a replica may not show what was written last, and the cache has no room to remember it: ask again in %d s, or set HEARTH_CACHE_BYTES higher", retryAfter(e)), true)
	}
	if e, ok := errors.AsType[*weaviate.ChatIDError](err); ok {
		return wire.BadField("chat_id", e.Detail)
	}
	switch {
	case errors.Is(err, guard.ErrPanic):
		return s.unexpected(err)
	case errors.Is(err, cache.ErrNotCached):
		return problem(http.StatusGatewayTimeout, "not-cached", "the request takes only what is held")
	case errors.Is(err, cache.ErrKeyReused):
		p := problem(http.StatusUnprocessableEntity, "key-reused", "the same key came before with another body")
		p.Field = wire.HeaderIdempotencyKey
		return p
	case errors.Is(err, odoo.ErrUnknownOutcome):
		return of("odoo", http.StatusBadGateway, "unknown-outcome", "unknown outcome: Odoo may or may not have done it", false)
	case errors.Is(err, weaviate.ErrUnknownOutcome):
		return of("weaviate", http.StatusBadGateway, "unknown-outcome", "unknown outcome: Weaviate may or may not have it", false)
	}
	if e, ok := errors.AsType[*odoo.Error](err); ok {
		return of("odoo", e.Status, "odoo", e.Message, e.Retryable)
	}
	if e, ok := errors.AsType[*weaviate.Error](err); ok {
		status := http.StatusBadGateway
		if e.Status == http.StatusTooManyRequests {
			status = http.StatusServiceUnavailable
		}
		return of("weaviate", status, wire.Kind(cmp.Or(string(e.Kind), "weaviate")), e.Message, e.Retryable())
	}
	upstream, address := "", ""
	if e, ok := errors.AsType[*pool.Error](err); ok {
		upstream, address, err = e.Upstream, e.Address, e.Err
	}
	if e, ok := errors.AsType[*pool.RedirectError](err); ok {
		return of(upstream, http.StatusBadGateway, "redirected", e.Error(), false)
	}
	switch {
	case errors.Is(err, pool.ErrQueueFull):
		return of(upstream, http.StatusServiceUnavailable, "overloaded", "every connection is in use and the queue is full", true)
	case errors.Is(err, pool.ErrClosed), errors.Is(err, cache.ErrClosed), errors.Is(err, context.Canceled):
		return of(upstream, http.StatusServiceUnavailable, "shutting-down", "the sidecar is shutting down", true)
	case errors.Is(err, context.DeadlineExceeded):
		return of(upstream, http.StatusGatewayTimeout, "timeout", "there was no answer in time", true)
	case errors.Is(err, pool.ErrTooLarge):
		return of(upstream, http.StatusBadGateway, wire.KindAnswerTooLarge, "the answer has more bytes than one may have: a quarter of HEARTH_CACHE_BYTES", false)
	case upstream != "":
		s.cfg.Logger.Warn("upstream not reached", "upstream", upstream, "address", address, "error", err)
		return of(upstream, http.StatusBadGateway, "unreachable",
			fmt.Sprintf("no answer from %s at %s: %s", upstream, cmp.Or(address, "its address"), pool.Reason(err)), true)
	}
	return s.unexpected(err)
}

// unexpected is an error whose text is for the log alone: a panic's has its stack.
func (s *Server) unexpected(err error) *wire.Problem {
	s.cfg.Logger.Error("unexpected error", "error", err)
	return problem(http.StatusInternalServerError, "internal", "the sidecar failed: its log says why")
}

// retryAfter is in how many seconds the call may succeed.
func retryAfter(e *cache.MayMissError) int {
	return int(max(time.Second, e.Wait+time.Second-1) / time.Second)
}

func (s *Server) refuse(r *request, p *wire.Problem) {
	body, err := json.Marshal(p)
	if err != nil { // a Problem always encodes
		panic(err)
	}
	r.Response.ResetBody()
	r.SetStatusCode(p.Status)
	r.SetContentType("application/problem+json")
	r.SetBody(body)
}
