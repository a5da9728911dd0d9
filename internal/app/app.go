// Package app is the command: it makes the rooms out of the settings, runs them, and ends them in order.
//
// Start at [Main]. app.go makes the pools and clients, serve.go runs them beside the API, and lambda.go has what is different inside Lambda;
// warm.go warms the upstreams, running.go joins all that runs, commands.go has check and schema, logqueue.go keeps a log that nobody
// reads from holding anything up.
package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"hearth/internal/clock"
	"hearth/internal/settings"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
	"hearth/sidecar"
)

// version is set by the linker.
var version = "dev"

const usage = `hearth          serve; in Lambda as an extension
hearth check    say what is wrong with the configuration, the upstreams and the classes
hearth schema   create the classes that are missing
hearth version  print the version
`

// Main runs the command that args name, args[0] being the program, and returns the exit code.
func Main(args, environ []string, stdout, stderr io.Writer) (code int) {
	keepHTTP2()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	switch command := strings.Join(args[1:], " "); command {
	case "":
		signal.Ignore(syscall.SIGPIPE) // else a log that nobody reads any more ends the process
		err = serve(ctx, args[0], environ, stderr)
	case "check":
		err = check(ctx, environ, stdout, stderr)
	case "schema":
		err = createSchema(ctx, environ, stdout, stderr)
	case "version", "--version":
		fmt.Fprintln(stdout, "hearth", version)
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
	default:
		err = fmt.Errorf("no command %q: try check, schema or version, or none to serve", command)
	}
	if err != nil {
		last := newLogQueue(stderr)
		fmt.Fprintln(last, "hearth:", err)
		last.close()
		return 1
	}
	return 0
}

// keepHTTP2 overrules a function's GODEBUG=http2client=0, which is meant for its handler: without HTTP/2 there is no gRPC.
func keepHTTP2() {
	if inherited := os.Getenv("GODEBUG"); inherited != "" {
		_ = os.Setenv("GODEBUG", inherited+",http2client=1") // of two the last one counts; it cannot fail
	}
}

// app is what the settings make. An upstream that is not configured is nil.
type app struct {
	log      *slog.Logger
	lab      lab
	pulse    *clock.Pulse
	pools    []*pool.Pool
	weaviate *weaviate.Client
	odoo     *odoo.Client

	upstreams []sidecar.Upstream
}

// newApp makes the pools and clients that the settings name. A nil pulse means a new one, which the caller must run. They log to out.
func newApp(s settings.Settings, pulse *clock.Pulse, out io.Writer) (*app, error) {
	a := &app{log: newLogger(out, s.LogLevel)}
	l, err := newLab()
	if err != nil {
		return a, err
	}
	if pulse == nil {
		pulse = clock.NewPulse(l.now)
	}
	a.lab, a.pulse = l, pulse
	shared := pool.Config{
		MaxIdle: s.ConnMaxIdle, RootCAs: s.Roots(), Pulse: a.pulse, Logger: a.log,
		KeepFrom: s.KeepFrom(), Policy: pool.Policy{NoRace: l.noRace, NoReplay: l.noReplay}, UserAgent: "hearth/" + version,
	}
	if l.noIdleLimit {
		shared.MaxIdle = 24 * time.Hour
	}
	if s.WeaviateURL != "" {
		c := shared
		c.Name, c.Size, c.Timeout = "weaviate", s.WeaviateConnections, s.WeaviateTimeout
		c.Limit, c.Answers = pool.NewLimit(c.Size, 0, a.pulse), pool.NewAnswers(s.AnswerSize(), s.AnswerSize())
		rest, grpc := c, c
		rest.URL, rest.Variable = s.WeaviateURL, "HEARTH_WEAVIATE_URL"
		rest.FirstWarm = 2 // one for each class that is learned
		rest.Ping = pool.Request{Method: http.MethodGet, Path: "/v1/.well-known/live"}
		grpc.URL, grpc.Variable, grpc.GRPC = s.WeaviateGRPCURL, "HEARTH_WEAVIATE_GRPC_URL", true
		grpc.Ping = weaviate.Ping()
		pools, err := a.open(rest, grpc)
		if err != nil {
			return a, err
		}
		client := s.Weaviate(a.log)
		client.REST, client.GRPC = pools[0], pools[1]
		if a.weaviate, err = weaviate.New(client); err != nil {
			return a, err
		}
		a.upstreams = append(a.upstreams, sidecar.Upstream{
			Name: "weaviate", Pools: map[string]*pool.Pool{"rest": pools[0], "grpc": pools[1]}, Ask: a.weaviate.Ask,
		})
	}
	if s.OdooURL != "" {
		c := shared
		c.Name, c.URL, c.Size, c.Timeout = "odoo", s.OdooURL, s.OdooConnections, s.OdooTimeout
		c.Variable, c.Answers = "HEARTH_ODOO_URL", pool.NewAnswers(s.AnswerSize(), s.AnswerSize())
		c.Ping = pool.Request{Method: http.MethodGet, Path: "/web/version"}
		pools, err := a.open(c)
		if err != nil {
			return a, err
		}
		client := s.Odoo(a.log)
		client.Pool = pools[0]
		if a.odoo, err = odoo.New(client); err != nil {
			return a, err
		}
		a.upstreams = append(a.upstreams, sidecar.Upstream{Name: "odoo", Pools: map[string]*pool.Pool{"": pools[0]}, Ask: a.odoo.Ping})
	}
	return a, nil
}

// open makes pools, and keeps them to be closed.
func (a *app) open(configs ...pool.Config) (pools []*pool.Pool, err error) {
	for _, cfg := range configs {
		made, err := pool.New(cfg)
		if err != nil {
			return nil, err
		}
		pools = append(pools, made)
	}
	a.pools = append(a.pools, pools...)
	return pools, nil
}

func (a *app) close() {
	for _, upstream := range a.pools {
		upstream.Close()
	}
	if a.weaviate != nil {
		a.weaviate.Close()
	}
}
