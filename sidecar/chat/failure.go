package chat

import (
	"errors"

	"hearth/cache"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
)

// FailureOf says what the error of a load means to the cache (cache.Config.Failure). An unknown error is [cache.Wrong]: no stale reply may
// hide it.
func FailureOf(err error) cache.Failure {
	if e, ok := errors.AsType[*odoo.Error](err); ok {
		switch {
		case e.NotThere():
			return cache.Missing
		case e.Outage():
			return cache.Down
		}
		return cache.Wrong
	}
	if e, ok := errors.AsType[*weaviate.Error](err); ok {
		if e.Retryable() {
			return cache.Down
		}
		return cache.Wrong
	}
	if e, ok := errors.AsType[*pool.SecretError](err); ok { // the upstream was not asked
		if e.Retryable {
			return cache.Unasked
		}
		return cache.Wrong // as a key that is refused
	}
	_, redirected := errors.AsType[*pool.RedirectError](err)
	_, unanswered := errors.AsType[*pool.Error](err)
	switch {
	case redirected, errors.Is(err, pool.ErrTooLarge):
		return cache.Wrong
	case errors.Is(err, pool.ErrOpen), errors.Is(err, pool.ErrQueueFull), errors.Is(err, pool.ErrClosed):
		return cache.Unasked
	case unanswered:
		return cache.Down
	}
	return cache.Wrong
}
