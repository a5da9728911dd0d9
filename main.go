// Command hearth is a caching sidecar with connection pooling for AWS Lambda. In Lambda it runs as an external
// extension; elsewhere it serves until it is told to stop. internal/app has all of it.
package main

import (
	"os"

	"hearth/internal/app"
)

func main() { os.Exit(app.Main(os.Args, os.Environ(), os.Stdout, os.Stderr, app.Options{})) }
