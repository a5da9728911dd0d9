package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/client"
	"hearth/internal/testing/await"
	"hearth/internal/testing/emf"
	"hearth/internal/testing/lambdatest"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
)

// Secrets of the upstreams, which no log may show.
const (
	weaviateSecret = "the key of Weaviate"
	odooSecret     = "the key of Odoo"
)

// upstreams are stand-ins behind proxies that count connections.
type upstreams struct {
	weaviate           *weaviatetest.Server
	odoo               *odootest.Server
	toWeaviate, toOdoo *testnet.Proxy
	env                []string // where they are
}

func newUpstreams(t *testing.T) *upstreams {
	t.Helper()
	u := &upstreams{weaviate: weaviatetest.New(), odoo: odootest.New(odootest.Config{Key: odooSecret})}
	behind := func(h http.Handler) (direct string, p *testnet.Proxy) {
		server, err := testnet.Serve(h, testnet.Config{HTTP2: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		if p, err = testnet.NewProxy(server.Addr, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return server.URL, p
	}
	var direct string
	direct, u.toWeaviate = behind(u.weaviate)
	_, u.toOdoo = behind(u.odoo)
	if _, stderr, code := command(t, []string{"HEARTH_WEAVIATE_URL=" + direct}, "schema"); code != 0 {
		t.Fatal(stderr)
	}
	u.env = []string{
		"HEARTH_WEAVIATE_URL=http://" + u.toWeaviate.Addr(), "HEARTH_WEAVIATE_GRPC_URL=http://" + u.toWeaviate.Addr(), "HEARTH_WEAVIATE_API_KEY=" + weaviateSecret,
		"HEARTH_ODOO_URL=http://" + u.toOdoo.Addr(), "HEARTH_ODOO_DB=demo", "HEARTH_ODOO_KEY=" + odooSecret,
	}
	return u
}

// function is a sandbox whose handler asks Hearth for everything there is, over the socket.
type function struct {
	*lambdatest.Host
	hearth *lambdatest.Process
	client *client.Client
	config client.Config
}

// newFunction starts one in which Hearth derives its token, and waits until it is ready.
func newFunction(t *testing.T, cfg lambdatest.Config, env ...string) *function {
	t.Helper()
	credential := "AWS_SESSION_TOKEN"
	if managed := cfg.Platform == lambdatest.Emulator && cfg.Init == lambdatest.ManagedInstances; managed || cfg.Init == lambdatest.SnapStart {
		credential = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
	} else if cfg.Platform == lambdatest.Emulator {
		credential = "" // there is none
	}
	f := &function{config: client.FromEnv(func(name string) string {
		return map[string]string{"AWS_LAMBDA_RUNTIME_API": "x", credential: lambdatest.SessionToken}[name]
	})}
	dir := shortDir(t)
	f.config.Socket, f.config.Addr = filepath.Join(dir, "s"), ""
	if cfg.Platform == lambdatest.Emulator && cfg.Init == lambdatest.ManagedInstances {
		// There Hearth is another user's, and the client rightly trusts no socket of another user.
		addr, err := testnet.FreeAddress()
		if err := errors.Join(err, os.Chmod(dir, 0o777)); err != nil {
			t.Fatal(err)
		}
		env = append([]string{"HEARTH_ADDR=" + addr, "HEARTH_SOCKET=" + f.config.Socket}, env...)
		f.config.Socket, f.config.Addr = "", addr
	} else {
		env = append([]string{"HEARTH_SOCKET=" + f.config.Socket}, env...)
	}
	var err error
	if f.client, err = client.New(f.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	if cfg.Answer == nil {
		cfg.Answer = f.handle
	}
	f.Host, f.hearth = sandboxOf(t, cfg, append([]string{"HEARTH_TOKEN="}, env...)...)
	return f
}

// onEach runs a test on each platform that has the initialization type. On the others the function has no credentials, so the log says
// that Hearth asks for no token.
func onEach(t *testing.T, init lambdatest.InitType, test func(t *testing.T, cfg lambdatest.Config, logged ...string)) {
	t.Helper()
	t.Run(string(lambdatest.Lambda), func(t *testing.T) { test(t, lambdatest.Config{Init: init}) })
	t.Run(string(lambdatest.Emulator), func(t *testing.T) {
		var logged []string
		if init == lambdatest.OnDemand {
			logged = []string{"authentication is off: HEARTH_TOKEN is not set"}
		}
		test(t, lambdatest.Config{Platform: lambdatest.Emulator, Init: init}, logged...)
	})
}

func (f *function) handle(ctx context.Context, payload []byte) ([]byte, error) {
	reply, err := f.client.Preprocess(ctx, client.PreprocessRequest{ChatID: "a", Text: string(payload), RouteName: "odoo_erp", EnableOdoo: true, NumMessages: 5})
	if err != nil {
		return nil, err
	}
	for part, problem := range reply.Errors {
		return nil, fmt.Errorf("%s: %w", part, problem)
	}
	return json.Marshal(reply)
}

func (f *function) invoke(t *testing.T, text string) {
	t.Helper()
	if got, err := f.Invoke(t.Context(), []byte(text)); err != nil || !strings.Contains(string(got), `"odoo_models":{"res.partner"`) {
		t.Errorf("an invocation brought %s, %v\n%s", got, err, f.hearth.Log())
	}
}

func (f *function) pools(t *testing.T) (pools map[string]pool.Stats) {
	t.Helper()
	raw, err := f.client.DebugPools(t.Context())
	if err == nil {
		err = json.Unmarshal(raw, &pools)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pools
}

// warm is how many connections a warm-up opens: to Weaviate one for gRPC, and for REST one for each class; to Odoo two.
func warm(upstream string) int {
	if upstream == "weaviate" {
		return 3
	}
	return 2
}

// wantWarm waits until every connection is open.
func (f *function) wantWarm(t *testing.T) {
	t.Helper()
	await.That(t, "the pools are warm", func() bool {
		for name, s := range f.pools(t) {
			if s.Open != warm(name) {
				return false
			}
		}
		return true
	})
}

// line is one of the log.
type line struct {
	Timestamp  time.Time
	Level, Msg string
}

// lines reads the log, all of which must be lines of JSON without a secret. It leaves out the documents of metrics.
func (f *function) lines(t *testing.T) (lines []line) {
	t.Helper()
	log := f.hearth.Log()
	for text := range strings.Lines(log) {
		if emf.Is(text) {
			if _, err := emf.Parse(text); err != nil {
				t.Errorf("%s is no document of metrics: %v", text, err)
			}
			continue
		}
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.Timestamp.IsZero() || l.Level == "" || l.Msg == "" {
			t.Errorf("a line of the log is %q, %v", text, err)
		}
		lines = append(lines, l)
	}
	for _, secret := range []string{weaviateSecret, odooSecret, lambdatest.SessionToken} {
		if strings.Contains(log, secret) {
			t.Errorf("the log shows %q:\n%s", secret, log)
		}
	}
	return lines
}

// wantLines looks at what the log says above the level info, in this order.
func (f *function) wantLines(t *testing.T, above ...string) {
	t.Helper()
	lines := f.lines(t)
	var got []string
	for _, l := range lines {
		if l.Level != "INFO" {
			got = append(got, l.Msg)
		}
	}
	if strings.Join(got, ", ") != strings.Join(above, ", ") || len(lines)-len(got) > 5*(1+f.Resets()) {
		t.Errorf("the log says %q above info, want %q, and has %d lines:\n%s", got, above, len(lines), f.hearth.Log())
	}
}

// freeze is a freeze that is long enough to be noticed.
func (f *function) freeze(t *testing.T) {
	t.Helper()
	if err := f.Freeze(); err != nil {
		t.Fatal(err)
	}
	<-time.After(1500 * time.Millisecond)
}

func TestTheLogOfANormalLifeIsAHandfulOfLines(t *testing.T) {
	onEach(t, lambdatest.OnDemand, func(t *testing.T, cfg lambdatest.Config, logged ...string) {
		u := newUpstreams(t)
		f := newFunction(t, cfg, u.env...)
		f.wantWarm(t)
		f.invoke(t, "one")
		if _, err := f.client.Append(t.Context(), "a", []client.NewMessage{{Role: "user", Content: "hello"}}); err != nil {
			t.Error(err)
		}
		f.invoke(t, "two")
		f.freeze(t)
		f.invoke(t, "three")
		stop(t, f.Host, f.hearth)
		f.wantLines(t, logged...)
		t.Logf("\n%s", f.hearth.Log())
	})
}

func TestUnderSnapStartNothingIsOpenBeforeTheRestore(t *testing.T) {
	u := newUpstreams(t)
	f := newFunction(t, lambdatest.Config{Init: lambdatest.SnapStart}, u.env...)
	<-time.After(300 * time.Millisecond) // for what must not happen
	f.freeze(t)
	if w, o := u.toWeaviate.Accepted(), u.toOdoo.Accepted(); w != 0 || o != 0 {
		t.Errorf("the snapshot holds %d connections to Weaviate, %d to Odoo", w, o)
	}
	f.invoke(t, "one") // is the restore
	f.wantWarm(t)
	stop(t, f.Host, f.hearth)
	f.wantLines(t)
}

func TestAFreezeIsFollowedByAWarmUpThoughNobodyAsks(t *testing.T) {
	u := newUpstreams(t)
	f := newFunction(t, lambdatest.Config{
		Init: lambdatest.SnapStart, Answer: func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil },
	}, u.env...)
	f.freeze(t)
	if _, err := f.Invoke(t.Context(), nil); err != nil { // is the restore
		t.Error(err)
	}
	f.wantWarm(t)
	stop(t, f.Host, f.hearth)
}

func TestUnderSnapStartARequestBeforeTheSnapshotLeavesNoConnection(t *testing.T) {
	u := newUpstreams(t)
	f := newFunction(t, lambdatest.Config{Init: lambdatest.SnapStart}, u.env...)
	if _, err := f.handle(t.Context(), []byte("one")); err != nil { // as code at the handler's module level
		t.Error(err)
	}
	if w, o := u.toWeaviate.Accepted(), u.toOdoo.Accepted(); w == 0 || o == 0 {
		t.Errorf("it used %d connections to Weaviate, %d to Odoo", w, o)
	}
	await.That(t, "no connection is open", func() bool {
		pools := f.pools(t)
		return pools["weaviate"].Open == 0 && pools["odoo"].Open == 0
	})
	stop(t, f.Host, f.hearth)
}

// Lambda lets a managed instance register for SHUTDOWN only: with INVOKE there would be no sandbox.
func TestAManagedInstanceServesInvocationsAtOnce(t *testing.T) {
	const atOnce = 7
	onEach(t, lambdatest.ManagedInstances, func(t *testing.T, cfg lambdatest.Config, logged ...string) {
		u := newUpstreams(t)
		var together sync.WaitGroup
		together.Add(atOnce)
		var f *function
		cfg.Concurrency = atOnce
		cfg.Answer = func(ctx context.Context, payload []byte) ([]byte, error) {
			together.Done()
			together.Wait()
			return f.handle(ctx, payload)
		}
		f = newFunction(t, cfg, append(u.env, "HEARTH_AFTER_INVOKE_BUDGET=1s")...)
		var invocations sync.WaitGroup
		for i := range atOnce {
			invocations.Go(func() { f.invoke(t, fmt.Sprint("text ", i)) })
		}
		invocations.Wait()
		for name, p := range f.pools(t) {
			if p.Size < atOnce {
				t.Errorf("%s has %d connections", name, p.Size)
			}
		}
		stop(t, f.Host, f.hearth)
		f.wantLines(t, logged...)
	})
}

func TestProvisionedConcurrencyIsWarmWhenInitEnds(t *testing.T) {
	u := newUpstreams(t)
	u.weaviate.SetLatency(200 * time.Millisecond) // else it might be warm by luck
	u.odoo.SetLatency(200 * time.Millisecond)
	f := newFunction(t, lambdatest.Config{Init: lambdatest.ProvisionedConcurrency}, u.env...)
	for name, p := range f.pools(t) {
		if p.Open != warm(name) || p.RoundTrip.Count == 0 {
			t.Errorf("at the first /next %s has %d connections, want %d, and has answered %d requests", name, p.Open, warm(name), p.RoundTrip.Count)
		}
	}
	f.invoke(t, "one")
	stop(t, f.Host, f.hearth)
	f.wantLines(t)
}

func TestProvisionedConcurrencyWaitsForAHangingUpstreamForAWhileOnly(t *testing.T) {
	u := newUpstreams(t)
	u.weaviate.SetHook(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
	f := newFunction(t, lambdatest.Config{Init: lambdatest.ProvisionedConcurrency}, append(u.env, "HEARTH_WEAVIATE_TIMEOUT=1m")...)
	if next := f.Init().Extensions[0].Next; next < 4*time.Second || next > 8*time.Second {
		t.Errorf("/next came after %v", next)
	}
	stop(t, f.Host, f.hearth)
}

func TestOnDemandInitWaitsForNoUpstreamAndTheFirstRequestJoinsTheWarming(t *testing.T) {
	const schemaPath = "/v1/schema/Message"
	u := newUpstreams(t)
	u.weaviate.SetLatency(time.Second)
	u.odoo.SetLatency(time.Second)
	before := u.weaviate.Requests()[schemaPath]
	f := newFunction(t, lambdatest.Config{}, u.env...)
	f.invoke(t, "one")
	if next := f.Init().Extensions[0].Next; next > 900*time.Millisecond { // alone on its machine 50 ms
		t.Errorf("/next came after %v", next)
	}
	if w, o := u.weaviate.Requests()[schemaPath]-before, u.odoo.Requests()["/web/version"]; w != 1 || o != 1 {
		t.Errorf("the schema was asked for %d times, Odoo's version %d times", w, o)
	}
	if w, o := u.toWeaviate.Accepted(), u.toOdoo.Accepted(); w != warm("weaviate") || o != warm("odoo") {
		t.Errorf("%d connections were opened to Weaviate, %d to Odoo", w, o)
	}
	stop(t, f.Host, f.hearth)
	t.Logf("/next came after %v", f.Init().Extensions[0].Next)
}

func TestInLambdaATakenPortLeavesTheSocket(t *testing.T) {
	u := newUpstreams(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f := newFunction(t, lambdatest.Config{}, append(u.env, "HEARTH_ADDR="+taken.Addr().String())...)
	f.invoke(t, "one")
	await.That(t, "it is ready", func() bool {
		ready, err := f.client.Ready(t.Context())
		return err == nil && ready.Ready
	})
	status, body := call(t, "unix", f.config.Socket, "/readyz", client.HeaderToken, f.config.Token)
	if status != http.StatusOK {
		t.Errorf("/readyz answers %d", status)
	}
	wantAll(t, "/readyz", body, `"fault":`, "address already in use")
	stop(t, f.Host, f.hearth)
	f.wantLines(t, "not listening")
}

func TestInLambdaRefusedTelemetryCostsNothingButALine(t *testing.T) {
	for _, status := range []int{http.StatusAccepted, http.StatusForbidden, http.StatusInternalServerError} {
		u := newUpstreams(t)
		f := newFunction(t, lambdatest.Config{TelemetryStatus: status}, append(u.env, "HEARTH_AFTER_INVOKE_BUDGET=1s")...)
		for i := range 3 {
			f.invoke(t, fmt.Sprint("text ", i))
		}
		added := f.added(t, 3)
		if quickest := slices.Min(added); quickest > 50*time.Millisecond { // a busy machine delays any of them
			t.Errorf("with %d it added %v", status, added)
		}
		stop(t, f.Host, f.hearth)
		f.wantLines(t, "no telemetry")
	}
}

// added is what was billed on top of each invocation, once that is known of n.
func (f *function) added(t *testing.T, n int) (added []time.Duration) {
	t.Helper()
	await.That(t, "the invocations have ended", func() bool { return len(f.Invocations()) == n })
	for _, i := range f.Invocations() {
		added = append(added, i.Added)
	}
	return added
}

// reading is a function whose invocations read from a slow Odoo what is old when it comes.
func reading(t *testing.T, u *upstreams, cfg lambdatest.Config) (f *function) {
	t.Helper()
	cfg.Answer = func(ctx context.Context, _ []byte) ([]byte, error) {
		return f.client.OdooCall(ctx, client.Call{Model: "res.partner", Method: "search_count", Args: []any{[]any{}}})
	}
	f = newFunction(t, cfg, append(u.env, "HEARTH_AFTER_INVOKE_BUDGET=1s", "HEARTH_TTL_ODOO_READ=100ms/1m/1m")...)
	f.wantWarm(t)
	u.odoo.SetLatency(200 * time.Millisecond)
	return f
}

func TestAfterAnInvocationWhatItReadIsFetchedAgain(t *testing.T) {
	u := newUpstreams(t)
	f := reading(t, u, lambdatest.Config{})
	if _, err := f.Invoke(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	added := f.added(t, 1)
	if n := u.odoo.Requests()["/json/2/res.partner/search_count"]; n != 2 || added[0] < 200*time.Millisecond {
		t.Errorf("Odoo was asked %d times, and %v were added\n%s", n, added, f.hearth.Log())
	}
	stop(t, f.Host, f.hearth)
	f.wantLines(t)
}

func TestABudgetWithNothingToFetchAgainCostsNothing(t *testing.T) {
	u := newUpstreams(t)
	f := newFunction(t, lambdatest.Config{
		Answer: func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil },
	}, append(u.env[:2:2], "HEARTH_AFTER_INVOKE_BUDGET=1s")...)
	for range 3 {
		if _, err := f.Invoke(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if added := f.added(t, 3); slices.Min(added) > 15*time.Millisecond { // Lambda tells of an end after 25 ms
		t.Errorf("it added %v", added)
	}
	stop(t, f.Host, f.hearth)
	f.wantLines(t)
}

func TestAnEndThatIsNotToldCostsItsBoundOnly(t *testing.T) {
	u := newUpstreams(t)
	var ends atomic.Int64
	f := reading(t, u, lambdatest.Config{LoseEvent: func(kind, _ string) bool { return kind == "platform.runtimeDone" && ends.Add(1) > 1 }})
	for n := range 2 {
		if _, err := f.Invoke(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.added(t, n+1)
	}
	if added := f.added(t, 2)[1]; added < 500*time.Millisecond || added > 3*time.Second { // the bound is one second
		t.Errorf("it added %v", added)
	}
	stop(t, f.Host, f.hearth)
	f.wantLines(t)
}
