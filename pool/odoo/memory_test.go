package odoo

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"hearth/pool"
)

// An answer of many small things must not cost many times its size.
func TestAHugeAnswerCostsASmallMultipleOfItsSize(t *testing.T) {
	const size = 1 << 20
	many := func(open, one, end string) string {
		return open + strings.Repeat(one+",", size/(len(one)+1)) + one + end
	}
	fault := func(arguments string) string {
		return `{"jsonrpc":"2.0","error":{"data":{"name":"odoo.exceptions.RedirectWarning","message":"` + strings.Repeat(`\n`, size/2) + `","arguments":` + arguments + `}}}`
	}
	result := func(json string) string { return `{"jsonrpc":"2.0","result":` + json + `}` }
	call := func(method, args string) func(*Client, context.Context) error {
		return func(c *Client, ctx context.Context) error {
			_, err := c.Call(ctx, Call{Model: "res.partner", Method: method, Args: raw(args)})
			return err
		}
	}
	model := func(c *Client, ctx context.Context) error { _, err := c.Model(ctx, "res.partner"); return err }
	for _, tt := range []struct {
		name string
		ask  func(*Client, context.Context) error
		body string
	}{
		{"records", call("read", `[1]`), many(`[`, `[]`, `]`)},
		{"ids of one record", call("create", `{}`), many(`[`, `1`, `]`)},
		{"odd numbers", call("read", `[1]`), many(`[`, `NaN`, `]`)},
		{"odd texts", call("read", `[1]`), many(`[`, "\"\xff\"", `]`)},
		{"fields", model, many(`{`, `"a":1`, `}`)},
		{"fields that are a list", model, many(`[`, `{}`, `]`)},
		{"an error", call("read", `[1]`), fault(many(`[`, `1`, `]`))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, over := range map[string]func(Doer) *Client{"json2": overJSON2, "jsonrpc": overJSONRPC} {
				body := tt.body
				if name == "jsonrpc" && !strings.HasPrefix(body, `{"jsonrpc"`) {
					body = result(body)
				}
				answer := &pool.Response{Status: 200, Body: []byte(body)}
				c := over(doerFunc(func(context.Context, pool.Request) (*pool.Response, error) { return answer, nil }))
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_ = tt.ask(c, t.Context()) // whatever comes of it
				runtime.ReadMemStats(&after)
				if cost := (after.TotalAlloc - before.TotalAlloc) * 10 / uint64(len(body)); cost > 60 {
					t.Errorf("%s: %d.%d times its size", name, cost/10, cost%10)
				}
			}
		})
	}
}
