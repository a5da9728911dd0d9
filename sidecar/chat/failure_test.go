package chat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"hearth/cache"
	"hearth/internal/guard"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
)

// Something stale may stand in for a server that gives no answer, and never for an answer (RFC 5861).
func TestWhatAFailedLoadMeans(t *testing.T) {
	of := func(err error) error { return &pool.Error{Upstream: "weaviate", Err: err} }
	for _, c := range []struct {
		err  error
		want cache.Failure
	}{
		{of(io.ErrUnexpectedEOF), cache.Down},
		{of(context.DeadlineExceeded), cache.Down},
		{of(pool.ErrOpen), cache.Unasked},
		{of(pool.ErrQueueFull), cache.Unasked},
		{of(pool.ErrClosed), cache.Unasked},
		{of(&pool.RedirectError{}), cache.Wrong},
		{of(pool.ErrTooLarge), cache.Wrong},
		{of(&pool.SecretError{Retryable: true}), cache.Unasked},
		{of(&pool.SecretError{}), cache.Wrong},
		{&weaviate.Error{Status: 429}, cache.Down},
		{&weaviate.Error{Status: 500}, cache.Down},
		{&weaviate.Error{Status: 503}, cache.Down},
		{&weaviate.Error{Status: 504}, cache.Down},
		{&weaviate.Error{Status: 501}, cache.Wrong},
		{&weaviate.Error{Status: 401}, cache.Wrong},
		{&weaviate.Error{Status: 403}, cache.Wrong},
		{&weaviate.Error{Status: 404}, cache.Wrong},
		{&weaviate.Error{Status: 422}, cache.Wrong},
		{&weaviate.Error{Status: 500, Kind: weaviate.WrongClass}, cache.Wrong},
		{&weaviate.Error{Status: 500, Kind: weaviate.CutShort}, cache.Wrong},
		{&weaviate.Error{Status: 500, Kind: weaviate.TooLarge}, cache.Wrong},
		{&odoo.Error{Kind: odoo.NotFound, Name: "UnknownModel"}, cache.Missing},
		{&odoo.Error{Kind: odoo.NotFound, Name: "UnknownMethod"}, cache.Missing},
		{&odoo.Error{Kind: odoo.NotFound, Name: "MissingError"}, cache.Wrong}, // a record may be made at any moment
		{&odoo.Error{Kind: odoo.Forbidden, Name: "AccessError"}, cache.Wrong},
		{&odoo.Error{Kind: odoo.Conflict, Retryable: true}, cache.Down},
		{guard.Do(func() error { panic("on purpose") }), cache.Wrong},
		{errors.New("unknown"), cache.Wrong},
	} {
		if got := FailureOf(fmt.Errorf("wrapped: %w", c.err)); got != c.want {
			t.Errorf("%v means %v, want %v", c.err, got, c.want)
		}
	}
}
