package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hearth/cache"
	"hearth/internal/clock"
	"hearth/internal/settings"
	"hearth/internal/testing/await"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
	"hearth/pool/weaviate"
)

// searchPath is where every question about a chat goes.
const searchPath = "/weaviate.v1.Weaviate/Search"

// onceIn serves a handler and says how many of the searches that it got were under way at once.
type onceIn struct {
	http.Handler
	now, most atomic.Int64
}

func (o *onceIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == searchPath {
		for n := o.now.Add(1); ; {
			if most := o.most.Load(); n <= most || o.most.CompareAndSwap(most, n) {
				break
			}
		}
		defer o.now.Add(-1)
	}
	o.Handler.ServeHTTP(w, r)
}

func upstreamAt(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	server, err := testnet.Serve(h, testnet.Config{HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server.URL
}

func TestEverySettingOfTheAPIHolds(t *testing.T) {
	messages := &onceIn{Handler: weaviatetest.New()}
	stand := messages.Handler.(*weaviatetest.Server)
	env := append(weaviateAt(upstreamAt(t, messages)),
		"HEARTH_ODOO_URL="+upstreamAt(t, odootest.New(odootest.Config{})), "HEARTH_ODOO_DB=demo", "HEARTH_ODOO_USER=admin", "HEARTH_ODOO_KEY=key",
		"HEARTH_WEAVIATE_CONNECTIONS=7", "HEARTH_ODOO_CONNECTIONS=3", "HEARTH_WORKERS=1", "HEARTH_MAX_BODY=2KiB", "HEARTH_HISTORY_PREVIEW=3",
		"HEARTH_TIMELINE_WINDOW=3", "HEARTH_CACHE_BYTES=3MiB", "HEARTH_ODOO_MODELS=res.users", "HEARTH_ODOO_ROUTES=erp",
		"HEARTH_MESSAGE_FIELDS=chat_id,role,content,spoken_at", "HEARTH_TTL_MUTE=0s", "HEARTH_TTL_HISTORY=1h", "HEARTH_CONN_MAX_IDLE=500ms")
	if _, stderr, code := command(t, env, "schema"); code != 0 {
		t.Fatal(stderr)
	}
	p := serving(t, env...)
	get := func(path string, into any) {
		t.Helper()
		status, body := send(t, "GET", p.addr, path, "")
		if err := json.Unmarshal([]byte(body), into); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, body)
		}
	}
	const messagesPath = "/v1/chats/a/messages"
	for i := range 40 {
		body := fmt.Sprintf(`{"role":"user","content":"message %d","created_at":"2026-01-01T00:00:%02dZ"}`, i, i)
		if status, answer := send(t, "POST", p.addr, messagesPath, body); status != http.StatusCreated {
			t.Fatalf("%d %s", status, answer)
		}
	}

	t.Run("the largest body", func(t *testing.T) {
		large := fmt.Sprintf(`{"role":"user","content":%q}`, strings.Repeat("x", 2<<10))
		if status, answer := send(t, "POST", p.addr, messagesPath, large); status != http.StatusRequestEntityTooLarge {
			t.Errorf("%d %s", status, answer)
		}
	})
	t.Run("the class's own properties are no message's", func(t *testing.T) {
		_, answer := send(t, "POST", p.addr, messagesPath, `{"role":"user","content":"x","properties":{"spoken_at":"x"}}`)
		wantAll(t, "the answer", answer, "spoken_at", `"status":400`)
	})
	t.Run("a prompt's older messages are cut", func(t *testing.T) {
		var history struct {
			MsgHistory []struct{ Content string } `json:"msg_history"`
		}
		get("/v1/chats/a/history?num_messages=2&full_text_len=1", &history)
		if h := history.MsgHistory; len(h) != 2 || h[0].Content != "mes…" || h[1].Content != "message 39" {
			t.Errorf("the prompt is %+v", h)
		}
	})
	t.Run("a window's messages are held, and no more", func(t *testing.T) {
		asked := func(n int) int {
			before := stand.Requests()[searchPath]
			get(fmt.Sprintf("/v1/chats/a/history?num_messages=%d", n), new(any))
			return stand.Requests()[searchPath] - before
		}
		if got := []int{asked(3), asked(30)}; got[0] != 0 || got[1] == 0 {
			t.Errorf("3 messages took %d searches, 30 took %d", got[0], got[1])
		}
	})
	t.Run("what is never fresh is asked for each time", func(t *testing.T) {
		before := stand.Requests()[searchPath]
		for range 2 {
			get("/v1/chats/a/mute", new(any))
		}
		if n := stand.Requests()[searchPath] - before; n != 2 {
			t.Errorf("it took %d searches", n)
		}
	})
	t.Run("one part of a preprocess at a time", func(t *testing.T) {
		stand.SetLatency(20 * time.Millisecond)
		defer stand.SetLatency(0)
		messages.most.Store(0)
		status, body := send(t, "POST", p.addr, "/v1/preprocess", `{"chat_id":"b","text":"x","route_name":"erp","num_messages":5}`)
		var reply struct {
			Models map[string]any `json:"odoo_models"`
		}
		if err := json.Unmarshal([]byte(body), &reply); err != nil || status != http.StatusOK || len(reply.Models) != 0 {
			t.Errorf("%d %s", status, body)
		}
		if n := messages.most.Load(); n != 1 && n != 2 { // a history asks for both roles at once
			t.Errorf("%d searches at once", n)
		}
	})
	t.Run("the routes with Odoo and its models", func(t *testing.T) {
		for route, want := range map[string]string{"erp": `"odoo_models":{"res.users":`, "odoo_erp": `"odoo_models":{}`} {
			_, body := send(t, "POST", p.addr, "/v1/preprocess", `{"chat_id":"c","text":"x","route_name":"`+route+`","enable_odoo":true}`)
			wantAll(t, "the reply on "+route, body, want)
		}
		_, body := send(t, "GET", p.addr, "/v1/odoo/models", "")
		wantAll(t, "the models", body, `"res.users":`)
	})
	t.Run("the bounds that are to be seen", func(t *testing.T) {
		var cache struct {
			MaxBytes int64 `json:"max_bytes"`
		}
		get("/debug/cache", &cache)
		if cache.MaxBytes != 3<<20 {
			t.Errorf("the cache has %d bytes", cache.MaxBytes)
		}
		var pools map[string]pool.Stats
		get("/debug/pools", &pools)
		if w, o := pools["weaviate"].Size, pools["odoo"].Size; w != 7 || o != 3 {
			t.Errorf("the pools have %d and %d connections", w, o)
		}
		await.That(t, "no idle connection is left", func() bool {
			get("/debug/pools", &pools)
			return pools["weaviate"].Open == 0 && pools["odoo"].Open == 0
		})
	})
	t.Run("whoever asks", func(t *testing.T) {
		wantAll(t, "the log", p.log.String(), "authentication is off: HEARTH_TOKEN is not set")
	})
}

func TestTheIdleTimeOfAManagedInstancesCallers(t *testing.T) {
	for kind, want := range map[string]time.Duration{"": 0, "lambda-managed-instances": 10 * time.Minute} {
		s, err := settings.Read([]string{"AWS_LAMBDA_INITIALIZATION_TYPE=" + kind})
		if err != nil {
			t.Fatal(err)
		}
		if got := new(app).apiConfig(s).IdleTimeout; got != want {
			t.Errorf("%q: %v, want %v", kind, got, want)
		}
	}
}

func TestOptionsReachTheRooms(t *testing.T) {
	s, err := settings.Read([]string{"HEARTH_CONN_MAX_IDLE=7s"})
	if err != nil {
		t.Fatal(err)
	}
	var now clock.Instant
	a := newApp(s, nil, io.Discard, Options{
		Clock: func() clock.Instant { return now }, Policy: pool.Policy{NoRace: true}, NoIdleLimit: true,
	})
	if err := a.addUpstreams(s); err != nil {
		t.Fatal(err)
	}
	now.Mono = time.Hour
	if n := a.pulse.Freezes(); n != 1 {
		t.Errorf("by the clock given there are %d freezes", n)
	}
	defer a.close()
	if cfg := a.poolConfig(s); cfg.Policy != (pool.Policy{NoRace: true}) || cfg.MaxIdle != 24*time.Hour {
		t.Errorf("the pools are given %+v", cfg)
	}
	if cfg := new(app).poolConfig(s); cfg.Policy != (pool.Policy{}) || cfg.MaxIdle != 7*time.Second {
		t.Errorf("without options the pools are given %+v", cfg)
	}
	if got := a.extensionConfig("/opt/extensions/hearth", s, nil).Events; got != nil {
		t.Errorf("without options the extension asks for %v", got)
	}
	a.options.Events = []string{"INVOKE"}
	if got := a.extensionConfig("/opt/extensions/hearth", s, nil).Events; !slices.Equal(got, []string{"INVOKE"}) {
		t.Errorf("the extension asks for %v", got)
	}
}

// Whoever registers for INVOKE makes every invocation wait: only a budget is worth that.
func TestWhenTheExtensionTakesPartInInvocations(t *testing.T) {
	const budget, odoo, managed = "HEARTH_AFTER_INVOKE_BUDGET=1s", "HEARTH_ODOO_URL=http://127.0.0.1:1\nHEARTH_ODOO_KEY=x", "AWS_LAMBDA_INITIALIZATION_TYPE=lambda-managed-instances"
	for env, want := range map[string]bool{
		"": false, budget: false, odoo: false, budget + "\n" + odoo: true, budget + "\n" + odoo + "\n" + managed: false,
	} {
		s, err := settings.Read(strings.Split(env+"\nHEARTH_DEADLINE_MARGIN=123ms\nAWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "\n"))
		if err != nil {
			t.Fatal(err)
		}
		a := newApp(s, nil, io.Discard, Options{})
		if err := a.addUpstreams(s); err != nil {
			t.Fatal(err)
		}
		cfg := a.extensionConfig("/opt/extensions/hearth", s, nil)
		if got := slices.Equal(cfg.Events, []string{"INVOKE"}); got != want || !got && cfg.Events != nil || (cfg.OnInvoke != nil) != want || (cfg.Telemetry != nil) != want {
			t.Errorf("%q: the extension is %+v", env, cfg)
		}
		if cfg.DeadlineMargin != 123*time.Millisecond || cfg.Name != "hearth" || cfg.RuntimeAPI != "127.0.0.1:9001" {
			t.Errorf("%q: the extension is %+v", env, cfg)
		}
		a.close()
	}
}

// The timeout of each upstream, and that of a call, hold where the others are longer.
func TestEveryTimeoutHolds(t *testing.T) {
	const short, long = "300ms", "1m"
	type timeouts struct{ weaviate, odoo, call string }
	for name, tc := range map[string]struct {
		timeouts
		method, path, body string
	}{
		"of Weaviate":            {timeouts{short, long, long}, "GET", "/v1/chats/a/mute", ""},
		"of Odoo":                {timeouts{long, short, long}, "GET", "/v1/odoo/models", ""},
		"of a call that loads":   {timeouts{long, long, short}, "GET", "/v1/chats/a/mute", ""},
		"of a call that changes": {timeouts{long, long, short}, "PUT", "/v1/chats/a/mute", `{"muted":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var left atomic.Int64 // requests whose callers have gone
			stand := weaviatetest.New()
			silent := upstreamAt(t, stand)
			if _, stderr, code := command(t, weaviateAt(silent), "schema"); code != 0 {
				t.Fatal(stderr)
			}
			stand.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.HasPrefix(r.URL.Path, "/v1/schema") || strings.HasPrefix(r.URL.Path, "/grpc.health") {
					return false // what is learned of a class is shared by all calls, and may take its time
				}
				_, _ = io.Copy(io.Discard, r.Body) // only then it is noticed that the caller has gone
				<-r.Context().Done()
				left.Add(1)
				return true
			})
			p := serving(t, append(weaviateAt(silent), "HEARTH_ODOO_URL="+silent, "HEARTH_ODOO_DB=demo", "HEARTH_ODOO_KEY=key", "HEARTH_ODOO_UID=2", "HEARTH_ODOO_PROTOCOL=json2",
				"HEARTH_WEAVIATE_TIMEOUT="+tc.weaviate, "HEARTH_ODOO_TIMEOUT="+tc.odoo, "HEARTH_PREPROCESS_TIMEOUT="+tc.call)...)
			begun := time.Now()
			status, body := send(t, tc.method, p.addr, tc.path, tc.body)
			if took := time.Since(begun); took > 10*time.Second || status != http.StatusGatewayTimeout {
				t.Errorf("it took %v: %d %s", took, status, body)
			}
			await.That(t, "the load has ended too", func() bool { return left.Load() > 0 })
		})
	}
}

// REST and gRPC are two pools of one upstream: its connections are what both may use together.
func TestWeaviatesConnectionsAreThoseOfBothProtocols(t *testing.T) {
	url, asked := hanging(t)
	const noWarming = "AWS_LAMBDA_INITIALIZATION_TYPE=snap-start" // its requests would wait for the slot too
	p := serving(t, append(weaviateAt(url), noWarming, "HEARTH_WEAVIATE_CONNECTIONS=1", "HEARTH_WEAVIATE_TIMEOUT=1m")...)
	var pools map[string]pool.Stats
	stats := func() pool.Stats {
		_, body := send(t, "GET", p.addr, "/debug/pools", "")
		if err := json.Unmarshal([]byte(body), &pools); err != nil {
			t.Fatal(err, body)
		}
		return pools["weaviate"]
	}
	hang(t, "tcp", p.addr, asked) // a history asks for either role by itself
	await.That(t, "one role waits for the other", func() bool { s := stats(); return s.Queue == 1 && s.InUse == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	var write sync.WaitGroup
	write.Go(func() {
		body := strings.NewReader(`{"role":"user","content":"x"}`)
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.addr+"/v1/chats/b/messages", body)
		req.Header.Set("Content-Type", "application/json")
		if resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("the write was answered with %d", resp.StatusCode)
		}
	})
	await.That(t, "the write waits for both", func() bool { s := stats(); return s.Queue == 2 && s.InUse == 1 })
	cancel()
	write.Wait()
}

// A read that would find the queue full is refused before its load begins.
func TestAFullQueueRefusesTheReadsOfItsUpstream(t *testing.T) {
	url, _ := hanging(t)
	s, err := settings.Read(append(weaviateAt(url), "HEARTH_WEAVIATE_CONNECTIONS=1", "HEARTH_ODOO_URL="+url, "HEARTH_ODOO_DB=demo", "HEARTH_ODOO_KEY=key", "HEARTH_ODOO_CONNECTIONS=1"))
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(s, nil, io.Discard, Options{Queue: 1})
	if err := a.addUpstreams(s); err != nil {
		t.Fatal(err)
	}
	defer a.close()
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel()
	for _, u := range a.upstreams {
		for _, p := range u.Pools {
			for range 2 { // one gets the slot, the other waits
				calls.Go(func() { _, _ = p.Do(ctx, pool.Request{Method: http.MethodPost, Path: searchPath}) })
			}
		}
	}
	for _, r := range cache.Resources() {
		await.That(t, string(r)+" is refused", func() bool { return errors.Is(a.refuse(ctx, r), pool.ErrQueueFull) })
	}
	if err := a.refuse(ctx, cache.Fetched); err != nil {
		t.Errorf("other hosts are refused: %v", err)
	}
}

// A managed instance's handlers are many processes.
func TestAManagedInstanceLetsMoreCallersIn(t *testing.T) {
	p := serving(t, "AWS_LAMBDA_INITIALIZATION_TYPE=lambda-managed-instances")
	const callers = 320 // four for each invocation
	for i := range callers {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		answer := make([]byte, 12)
		if _, err := c.Read(answer); err != nil || string(answer) != "HTTP/1.1 200" {
			t.Fatalf("caller %d gets %q, %v", i, answer, err)
		}
	}
}

func TestOnlyOutsideOfLambdaTheEndOfTheAPIIsAFault(t *testing.T) {
	fault := errors.New("no more")
	ended, end := context.WithCancel(t.Context())
	end()
	const inLambda, outside = true, false
	for name, tc := range map[string]struct {
		inLambda  bool
		ctx       context.Context
		err, want error
		log       int
	}{
		"in Lambda":                 {inLambda, t.Context(), fault, nil, 1},
		"in Lambda without a fault": {inLambda, t.Context(), nil, nil, 1},
		"in Lambda at the end":      {inLambda, ended, fault, fault, 0},
		"elsewhere":                 {outside, t.Context(), fault, fault, 0},
		"elsewhere at the end":      {outside, ended, nil, nil, 0},
	} {
		var log logBuffer
		if err := apiError(tc.ctx, tc.inLambda, tc.err, slog.New(slog.NewTextHandler(&log, nil))); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != tc.log {
			t.Errorf("%s: logged %q", name, log.String())
		}
	}
}

func TestHowLongInitAndWarmingWaitForEachOther(t *testing.T) {
	for _, tc := range []struct {
		lambda           bool
		kind             string
		warming, initEnd time.Duration // how long each waits for the other at most
	}{
		{false, "", 0, 0},
		{true, "", time.Second, 0},
		{true, "on-demand", time.Second, 0},
		{true, "snap-start", time.Second, 0},
		{true, "lambda-managed-instances", time.Second, 0},
		{true, "provisioned-concurrency", 0, 5 * time.Second},
	} {
		s := settings.Settings{InitType: tc.kind}
		if tc.lambda {
			s.RuntimeAPI = "127.0.0.1:9001"
		}
		for name, wait := range map[string]struct {
			until func(context.Context, settings.Settings, <-chan struct{})
			most  time.Duration
		}{"warming": {waitBeforeWarming, tc.warming}, "INIT": {waitBeforeNext, tc.initEnd}} {
			synctest.Test(t, func(t *testing.T) {
				took := func(ctx context.Context, happens <-chan struct{}) time.Duration {
					begun := time.Now()
					wait.until(ctx, s, happens)
					return time.Since(begun)
				}
				never, now := make(chan struct{}), make(chan struct{})
				close(now)
				if got := took(t.Context(), never); got != wait.most {
					t.Errorf("%+v: %s waits for %v, want %v", tc, name, got, wait.most)
				}
				if got := took(t.Context(), now); got != 0 {
					t.Errorf("%+v: %s waits for %v for what has happened", tc, name, got)
				}
				ctx, cancel := context.WithTimeout(t.Context(), wait.most/2)
				defer cancel()
				if got := took(ctx, never); got != wait.most/2 {
					t.Errorf("%+v: %s outlives its context by %v", tc, name, got-wait.most/2)
				}
			})
		}
	}
}

func TestAFindingIsOneLine(t *testing.T) {
	for want, f := range map[string]weaviate.Finding{
		"odoo: server: ok":                                       {Question: "server", Verdict: weaviate.OK},
		"odoo: server: ok (it, two)":                             {Question: "server", Verdict: weaviate.OK, Detail: "it,\n two"},
		"odoo: server: " + fmt.Sprint(weaviate.Failed) + ": a b": {Question: "server", Verdict: weaviate.Failed, Detail: "a\r\nb"},
		"odoo: server: " + fmt.Sprint(weaviate.Failed):           {Question: "server", Verdict: weaviate.Failed},
	} {
		if got := findingLine("odoo", f); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
