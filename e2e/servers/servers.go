// Package servers runs what Hearth talks to, for tests and for trying things by hand: a real Weaviate, a real Odoo, and
// nginx before them with TLS and keep-alive, as production runs them. Everything listens on 127.0.0.1.
//
// Start with [StartWeaviate], [StartOdoo] and [StartNginx]. Each takes a context that bounds the start alone, and an
// empty folder for its data and its log; each serves until Stop is called or the process that started it ends. Every
// start begins with the same fresh data.
//
// What is slow to make is made once, under ${HEARTH_E2E_CACHE:-the user's cache folder}/hearth-e2e. Weaviate needs the
// Go module proxy and nothing else; Odoo and nginx need Debian, root and a Debian mirror, and are [ErrUnsupported]
// without. Nothing is installed on the machine but debootstrap.
package servers

import "errors"

// ErrUnsupported is wrapped by the error of a start that this machine cannot run; the caller decides what that means.
var ErrUnsupported = errors.New("this machine cannot run the server")
