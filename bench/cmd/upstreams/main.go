// Command upstreams serves the stand-ins of Weaviate and Odoo until its standard input ends. It writes where they are to its standard
// output, as JSON.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"hearth/bench/rig"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "upstreams:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	var urls rig.Upstreams
	weaviate := weaviatetest.New()
	for _, s := range []struct {
		url     *string
		handler http.Handler
		http2   bool
	}{
		{&urls.WeaviateREST, weaviate, false},
		{&urls.WeaviateGRPC, weaviate, true},
		{&urls.Odoo, odootest.New(odootest.Config{DB: lab.OdooDB, Key: lab.OdooKey}), false},
	} {
		server, err := testnet.Serve(s.handler, testnet.Config{HTTP2: s.http2})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		*s.url = server.URL
	}
	if err := json.NewEncoder(os.Stdout).Encode(urls); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
