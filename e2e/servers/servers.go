// Package servers runs a real Weaviate, a real Odoo and an nginx in front of them with TLS and keep-alive, as production has
// them, for tests and for work by hand. Everything listens on 127.0.0.1.
//
// Start with [StartWeaviate], [StartOdoo] and [StartNginx]. Each takes a context that bounds the start alone, and an
// empty folder for its data and its log; each serves until Stop is called or the process that started it ends. Every
// start begins with the same fresh data.
//
// What is slow to make is made once and kept in the folder hearth-e2e of HEARTH_E2E_CACHE, by default of the user's cache.
// Weaviate needs the Go module proxy and nothing else. Odoo and nginx need Debian, root and a Debian mirror: without, their
// start is [ErrUnsupported]. Nothing is installed on the machine but debootstrap.
package servers

import "errors"

// ErrUnsupported is wrapped by the error of a start if this machine cannot run the server.
var ErrUnsupported = errors.New("this machine cannot run the server")
