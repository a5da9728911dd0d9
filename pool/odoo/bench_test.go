package odoo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"hearth/pool"
)

// BenchmarkCall is one call without the way to Odoo: the request is encoded, and the answer of so many records is decoded.
func BenchmarkCall(b *testing.B) {
	call := Call{Model: "res.partner", Method: "search_read", Kwargs: map[string]json.RawMessage{
		"domain": json.RawMessage(`[["is_company","=",true]]`), "fields": json.RawMessage(`["name","email","city"]`), "limit": json.RawMessage("80"),
	}}
	for _, n := range []int{1, 40, 400} {
		records := make([]string, n)
		for i := range records {
			records[i] = fmt.Sprintf(`{"id": %d, "name": "Partner %d", "email": "partner%d@example.com", "city": false}`, i, i, i)
		}
		result := "[" + strings.Join(records, ", ") + "]"
		for _, p := range []struct {
			name   string
			client func(Doer) *Client
			answer string
		}{
			{"JSON-2", overJSON2, result},
			{"JSON-RPC", overJSONRPC, `{"jsonrpc": "2.0", "id": 1, "result": ` + result + `}`},
		} {
			b.Run(fmt.Sprintf("%s/%d", p.name, n), func(b *testing.B) {
				c := p.client(doerFunc(func(context.Context, pool.Request) (*pool.Response, error) {
					return &pool.Response{Status: http.StatusOK, Body: []byte(p.answer)}, nil
				}))
				b.SetBytes(int64(len(p.answer)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.Call(b.Context(), call); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
