package pool

import (
	"net/http"
	"sync/atomic"
	"testing"
)

func TestOptionsAddUp(t *testing.T) {
	outer, inner := new(atomic.Int64), new(atomic.Int64)
	header := http.Header{"Traceparent": {"00-abc-def-01"}}
	ctx := With(t.Context(), Options{Repeatable: true, Header: header, Sent: outer})
	ctx = With(ctx, Options{Proven: true})
	ctx = With(ctx, Options{Background: true})
	o := optionsOf(With(ctx, Options{}))
	if !o.Repeatable || !o.Proven || !o.Background || o.Header.Get("Traceparent") == "" || o.Sent != outer {
		t.Errorf("all together they are %+v", o)
	}
	o = optionsOf(With(ctx, Options{Header: http.Header{}, Sent: inner}))
	if len(o.Header) != 0 || o.Sent != inner {
		t.Errorf("what is set anew does not replace: %+v", o)
	}
	if o := optionsOf(t.Context()); o.Repeatable || o.Proven || o.Background || o.Header != nil || o.Sent != nil {
		t.Errorf("without options: %+v", o)
	}
}
