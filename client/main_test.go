package client_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"hearth/cache"
	"hearth/client"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
	"hearth/pool/web"
	"hearth/sidecar"
	"hearth/sidecar/chat"
	"hearth/sidecar/fetch"
)

func TestMain(m *testing.M) {
	if role, ok := roles()[os.Getenv("HEARTH_TEST_ROLE")]; ok {
		role()
		return
	}
	goleak.VerifyTestMain(m,
		// After a shutdown fasthttp's cleaner sleeps on for up to ten seconds.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

const token = "open sesame"

// real is the sidecar's own server over doubles of the upstreams.
type real struct {
	addr, socket string
	weaviate     *weaviatetest.Server
	odoo         *odootest.Server
	other        *testnet.Server // a host that may be fetched from
}

// newReal serves until the test ends.
func newReal(t testing.TB) *real {
	t.Helper()
	r := &real{weaviate: weaviatetest.New(), odoo: odootest.New(odootest.Config{}), socket: filepath.Join(shortDir(t), "s")}
	serve := func(name string, h *testnet.Server, err error) *pool.Pool {
		must(t, err)
		t.Cleanup(func() { _ = h.Close() })
		p, err := pool.New(pool.Config{Name: name, URL: h.URL, GRPC: name == "grpc"})
		must(t, err)
		t.Cleanup(p.Close)
		return p
	}
	w, err := testnet.Serve(r.weaviate, testnet.Config{})
	wp := serve("weaviate", w, err)
	g, err := testnet.Serve(r.weaviate, testnet.Config{HTTP2: true})
	gp := serve("grpc", g, err)
	o, err := testnet.Serve(r.odoo, testnet.Config{})
	op := serve("odoo", o, err)
	wc, err := weaviate.New(weaviate.Config{
		REST: wp, GRPC: gp,
		Message: weaviate.MessageClass{Class: "Message", ChatID: "chat_id", Role: "role", Content: "content", CreatedAt: "created_at"},
		Mute:    weaviate.MuteClass{Class: "ChatStatus", ChatID: "chat_id", Muted: "muted", Until: "muted_until"},
	})
	must(t, err)
	_, err = wc.CreateClasses(t.Context())
	must(t, err)
	memory, err := cache.New(cache.Config{})
	must(t, err)
	t.Cleanup(memory.Close)
	oc, err := odoo.New(odoo.Config{Pool: op, DB: "demo", Key: "key", Protocol: odoo.JSON2})
	must(t, err)
	r.other, err = testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/waits" {
			<-q.Context().Done()
		}
		body, _ := io.ReadAll(q.Body)
		w.Header().Set("X-Key", q.Header.Get("X-Key"))
		_, _ = w.Write(append([]byte(q.Method+" "), body...))
	}), testnet.Config{})
	must(t, err)
	t.Cleanup(func() { _ = r.other.Close() })
	var allow web.Allow
	must(t, allow.UnmarshalText([]byte("http://"+r.other.Addr)))
	fetcher := web.New(web.Config{Allow: allow})
	t.Cleanup(fetcher.Close)
	jobs := fetch.NewJobs(1<<20, nil)
	t.Cleanup(jobs.Close)
	service, err := chat.New(chat.Config{
		Weaviate: wc, Odoo: oc, Cache: memory, Policies: map[cache.Resource]cache.Policy{},
		OdooModels: []string{"res.partner"}, OdooRoutes: []string{"odoo_erp"},
	})
	must(t, err)
	s, err := sidecar.New(sidecar.Config{
		Token: token, Chat: service, Cache: memory, Fetch: fetch.New(fetcher, memory), Jobs: jobs,
		Upstreams: []sidecar.Upstream{
			{Name: "weaviate", Pools: map[string]*pool.Pool{"rest": wp, "grpc": gp}, Ask: wc.Ask},
			{Name: "odoo", Pools: map[string]*pool.Pool{"": op}, Ask: oc.Ping},
		},
	})
	must(t, err)
	tcp, err := sidecar.ListenTCP(t.Context(), "127.0.0.1:0")
	must(t, err)
	r.addr = tcp.Addr().String()
	unix, err := sidecar.ListenSocket(t.Context(), r.socket)
	must(t, err)
	run(t, s, tcp, unix)
	return r
}

func run(t testing.TB, s *sidecar.Server, listeners ...net.Listener) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, listeners...) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// shortDir makes a folder for sockets, whose paths must be short and open to other users: TMPDIR may be neither.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hearth") //nolint:usetesting // t.TempDir has the test's name in it, which may be too long
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newClient(t testing.TB, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.New(cfg)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
