package odoo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"hearth/pool"
	"hearth/pool/odoo"
)

func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/json/2/res.partner/search_count":
			_, _ = io.WriteString(w, "38")
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"name":"werkzeug.exceptions.NotFound","message":"the model 'res.ghost' does not exist"}`)
		}
	}))
	defer server.Close()
	upstream, err := pool.New(pool.Config{Name: "odoo", URL: server.URL, Size: 2, Timeout: 10 * time.Second})
	if err != nil {
		panic(err)
	}
	defer upstream.Close()

	client, err := odoo.New(odoo.Config{Pool: upstream, DB: "demo", Key: "an API key", Protocol: odoo.JSON2})
	if err != nil {
		panic(err)
	}
	count, err := client.Call(context.Background(), odoo.Call{
		Model: "res.partner", Method: "search_count", Args: []json.RawMessage{[]byte(`[["is_company","=",true]]`)},
	})
	fmt.Println(string(count), err)

	_, err = client.Call(context.Background(), odoo.Call{Model: "res.ghost", Method: "search_count", Args: []json.RawMessage{[]byte(`[]`)}})
	if e, ok := errors.AsType[*odoo.Error](err); ok {
		fmt.Println(e.Kind, e.Message)
	}
	// Output:
	// 38 <nil>
	// not-found the model res.ghost does not exist
}
