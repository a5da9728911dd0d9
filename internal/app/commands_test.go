package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/internal/testing/await"
	"hearth/internal/testing/lambdatest"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
)

// faulty are settings with five faults, whose variables wrongs names; one of them hides a secret.
func faulty() (env, wrongs []string) {
	env = []string{
		"HEARTH_WORKERS=many", "HEARTH_TTL_MUTE=soon", "HEARTH_ODOO_DB=demo", "HEARTH_WEAVIATE_URL=https://me:hunter2@example.com",
		"HEARTH_CACHE_BYTES=12", "HEARTH_TYPO=1",
	}
	return env, []string{"HEARTH_WORKERS: ", "HEARTH_TTL_MUTE: ", "HEARTH_ODOO_URL: ", "HEARTH_WEAVIATE_URL: ", "HEARTH_CACHE_BYTES: "}
}

func TestEveryCommandListsAllThatIsWrongWithTheSettings(t *testing.T) {
	env, wrongs := faulty()
	for _, args := range [][]string{nil, {"check"}, {"schema"}} {
		stdout, stderr, code := command(t, env, args...)
		if code != 1 {
			t.Errorf("hearth %v exited with %d", args, code)
		}
		wantAll(t, "stderr", stderr, wrongs...)
		if strings.Contains(stdout+stderr, "hunter2") {
			t.Errorf("hearth %v printed a password:\n%s%s", args, stdout, stderr)
		}
	}
}

func TestCommands(t *testing.T) {
	upstream, err := testnet.Serve(weaviatetest.New(), testnet.Config{HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upstream.Close() })
	with := func(more ...string) []string { return append(more, weaviateAt(upstream.URL)...) }
	nobody := "127.0.0.1:1"
	for _, tc := range []struct { // in this order
		name   string
		env    []string
		args   []string
		code   int
		stdout []string
		stderr []string
	}{
		{"the version", nil, []string{"version"}, 0, []string{"hearth dev (commit unknown)\n"}, nil},
		{"a command and a word too many", nil, []string{"check", "weaviate"}, 1, nil, []string{`no command "check weaviate"`}},
		{"how to use it", nil, []string{"--help"}, 0, []string{"hearth check ", "hearth schema ", "hearth compare ", "hearth stats "}, nil},
		{"a command that is none", nil, []string{"serve"}, 1, nil, []string{`no command "serve"`, "check, schema, compare, stats or version"}},
		{"a check of nothing", []string{"HEARTH_TYPO=1"}, []string{"check"}, 1, []string{
			"warning: unknown variable HEARTH_TYPO\n", "weaviate: not configured (HEARTH_WEAVIATE_URL)\n", "odoo: not configured (HEARTH_ODOO_URL)\n",
		}, []string{"nothing to check"}},
		{
			"a check of servers that are not there",
			append(weaviateAt("http://"+nobody), "HEARTH_ODOO_URL=http://"+nobody, "HEARTH_ODOO_KEY=hunter2"),
			[]string{"check"},
			1,
			[]string{"weaviate: ", "odoo: "},
			[]string{"weaviate: see above", "odoo: see above"},
		},
		{"a check of an empty Weaviate", with(), []string{"check"}, 1, []string{"class Message", "class ChatStatus"}, []string{"weaviate: see above"}},
		{"a schema without a Weaviate", nil, []string{"schema"}, 1, nil, []string{"HEARTH_WEAVIATE_URL is not set"}},
		{"a schema", with(), []string{"schema"}, 0, []string{"created Message\ncreated ChatStatus\n"}, nil},
		{"a schema that exists", with(), []string{"schema"}, 0, []string{"every class exists\n"}, nil},
		{"a check of a good Weaviate", with(), []string{"check"}, 0, []string{"weaviate: ok (" + upstream.URL + ")\n"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stdout, stderr, code := command(t, tc.env, tc.args...)
			if code != tc.code || (stderr == "") != (tc.stderr == nil) {
				t.Errorf("exited with %d, want %d; stderr %q", code, tc.code, stderr)
			}
			wantAll(t, "stdout", stdout, tc.stdout...)
			wantAll(t, "stderr", stderr, tc.stderr...)
			if strings.Contains(stdout+stderr, "hunter2") {
				t.Errorf("printed a secret:\n%s%s", stdout, stderr)
			}
		})
	}
}

// A person reads the findings, not the log, unless they ask for it.
func TestACommandsLogHasErrorsAlone(t *testing.T) {
	for level, want := range map[string]int{"": 1, "info": 1, "warn": 2, "debug": 3} {
		var out logBuffer
		_, a, err := loadForCommand([]string{"HEARTH_LOG_LEVEL=" + level}, &out, Options{})
		if err != nil {
			t.Fatal(err)
		}
		a.log.Info("x")
		a.log.Warn("x")
		a.log.Error("x")
		a.close()
		if n := strings.Count(out.String(), "\n"); n != want {
			t.Errorf("%q: %d lines, want %d", level, n, want)
		}
	}
}

func TestACheckCountsTheFieldsOfAModel(t *testing.T) {
	upstream, err := testnet.Serve(odootest.New(odootest.Config{}), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	stdout, stderr, code := command(t, []string{"HEARTH_ODOO_URL=" + upstream.URL, "HEARTH_ODOO_DB=demo", "HEARTH_ODOO_USER=admin", "HEARTH_ODOO_KEY=key"}, "check")
	if code != 0 {
		t.Errorf("exited with %d: %s", code, stderr)
	}
	wantAll(t, "stdout", stdout, "model res.partner: ok (Contact, 14 fields)")
}

func TestACommandTakesSilenceForNoFreeze(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	var accepted []net.Conn // by the one who accepts
	accepting.Go(func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			accepted = append(accepted, c)
		}
	})
	env := append(weaviateAt("http://"+silent.Addr().String()), "HEARTH_WEAVIATE_TIMEOUT=1500ms")
	begun := time.Now()
	if _, stderr, code := command(t, env, "check"); code != 1 {
		t.Errorf("exited with %d: %s", code, stderr)
	}
	took := time.Since(begun)
	_ = silent.Close()
	accepting.Wait()
	for _, c := range accepted {
		_ = c.Close()
	}
	if len(accepted) != 1 || took > 2900*time.Millisecond { // a timeout that began again would end after 3 s
		t.Errorf("it took %v over %d connections", took, len(accepted))
	}
}

func TestGarbageIsCollectedAsUsualOnceItServes(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // as GOGC=off does
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(450 << 20))
	for init, percent := range map[string]uint64{"on-demand": 100, "lambda-managed-instances": 500} {
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- serve(ctx, "hearth", []string{
				"HEARTH_ADDR=127.0.0.1:0", "HEARTH_LOG_LEVEL=error", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024", "AWS_LAMBDA_INITIALIZATION_TYPE=" + init,
			}, io.Discard, io.Discard, Options{})
		}()
		at := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
		await.That(t, init+": both are ours", func() bool {
			metrics.Read(at)
			return at[0].Value.Uint64() == percent && at[1].Value.Uint64() == 256<<20
		})
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// The leak test of the package finds what is not closed.
func TestNothingIsLeftIfTheRegistrationFails(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	socket := filepath.Join(shortDir(t), "s")
	err := serve(t.Context(), "hearth", []string{
		"AWS_LAMBDA_RUNTIME_API=127.0.0.1:1", "HEARTH_ADDR=127.0.0.1:0", "HEARTH_SOCKET=" + socket, "HEARTH_WEAVIATE_URL=http://127.0.0.1:1",
	}, io.Discard, io.Discard, Options{})
	if err == nil || !strings.Contains(err.Error(), "/register") {
		t.Errorf("it ended with %v", err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestAPanicWhileWarmingIsLogged(t *testing.T) {
	var log logBuffer
	a := app{log: slog.New(slog.NewJSONHandler(&log, nil)), pools: []*pool.Pool{{}}} // made by nobody: it panics
	a.warm(t.Context())
	wantAll(t, "the log", log.String(), `"level":"ERROR"`, `"what":" connections"`, "panic: ", "guard.Do")
}

// sandbox starts hearth as the extension of a sandbox and waits until both of them are ready.
func sandbox(t *testing.T, env ...string) (*lambdatest.Host, *lambdatest.Process) {
	t.Helper()
	return sandboxOf(t, lambdatest.Config{
		Answer: func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil },
	}, env...)
}

func sandboxOf(t *testing.T, cfg lambdatest.Config, env ...string) (*lambdatest.Host, *lambdatest.Process) {
	t.Helper()
	host, err := lambdatest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	p, err := host.StartExtension(t.Context(), binary(t), append(asTested("HEARTH_ADDR=127.0.0.1:0", "HEARTH_TOKEN=t"), env...)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := host.WaitReady(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	return host, p
}

// stop shuts the sandbox down, which must be quick and quiet.
func stop(t *testing.T, host *lambdatest.Host, p *lambdatest.Process) {
	t.Helper()
	begun := time.Now()
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("%v\n%s", err, p.Log())
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("shutting down took %v", took)
	}
	if reports := host.Reports(); len(reports) != 0 {
		t.Errorf("Lambda was told %v", reports)
	}
}

func TestInLambdaItServesFromRegistrationToShutdown(t *testing.T) {
	socket := filepath.Join(shortDir(t), "s")
	host, p := sandbox(t, "HEARTH_SOCKET="+socket, "HEARTH_TYPO=1")
	for range 2 {
		if got, err := host.Invoke(t.Context(), []byte("ping")); err != nil || string(got) != "ping" {
			t.Fatalf("an invocation brought %q, %v", got, err)
		}
	}
	wantHealthy(t, "tcp", tcp(t, p.Done(), logOf{p}))
	wantHealthy(t, "unix", socket)
	wantAll(t, "the log", p.Log(), "HEARTH_TYPO")
	stop(t, host, p)
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is left behind")
	}
}

func TestInLambdaACallThatHangsHoldsUpTheShutdownForItsGraceOnly(t *testing.T) {
	url, asked := hanging(t)
	socket := filepath.Join(shortDir(t), "s")
	host, p := sandbox(t, append(weaviateAt(url), "HEARTH_SOCKET="+socket)...)
	if _, err := host.Invoke(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	status := hang(t, "unix", socket, asked, "X-Hearth-Token: t\r\n")
	begun := time.Now()
	stop(t, host, p)
	t.Logf("it took %v", time.Since(begun))
	if got := <-status; got != http.StatusServiceUnavailable && got != 0 {
		t.Errorf("the call was answered with %d", got)
	}
}

// logOf is a process whose log can be read.
type logOf struct{ *lambdatest.Process }

func (l logOf) String() string { return l.Log() }

func TestInLambdaWrongSettingsFailCallsNotTheFunction(t *testing.T) {
	env, wrongs := faulty()
	socket := filepath.Join(shortDir(t), "s")
	host, p := sandbox(t, append(env, "HEARTH_SOCKET="+socket)...)
	wantHealthy(t, "unix", socket)
	for _, path := range []string{"/v1/chats/a/history", "/v1/chats/a/mute", "/v1/odoo/models"} {
		status, body := call(t, "unix", socket, path, "X-Hearth-Token", "t")
		var problem struct{ Detail, Upstream string }
		if err := json.Unmarshal([]byte(body), &problem); err != nil || status != http.StatusServiceUnavailable || problem.Upstream == "" {
			t.Errorf("%s answers %d %s", path, status, body)
		}
		wantAll(t, "the problem", problem.Detail, wrongs...)
		if strings.Contains(body, "hunter2") {
			t.Errorf("the problem shows a password: %s", body)
		}
	}
	stop(t, host, p) // then its log is whole
	wantAll(t, "the log", p.Log(), "serving degraded")
}

func TestInLambdaNoNumberOutOfItsBoundsEndsTheFunction(t *testing.T) {
	for _, wrong := range []string{
		"HEARTH_TIMELINE_WINDOW=-1", "HEARTH_HISTORY_PREVIEW=-1", "HEARTH_WORKERS=-1", "HEARTH_PREPROCESS_TIMEOUT=-1s", "HEARTH_CONN_MAX_IDLE=-1s",
		"HEARTH_AFTER_INVOKE_BUDGET=-1s", "HEARTH_DEADLINE_MARGIN=-1s", "HEARTH_CACHE_BYTES=1", "HEARTH_MAX_BODY=0",
		"HEARTH_WEAVIATE_CONNECTIONS=-1", "HEARTH_ODOO_TIMEOUT=-1s",
	} {
		socket := filepath.Join(shortDir(t), "s")
		host, p := sandbox(t, "HEARTH_WEAVIATE_URL=http://127.0.0.1:1", "HEARTH_ODOO_URL=http://127.0.0.1:1", "HEARTH_ODOO_KEY=k", wrong, "HEARTH_SOCKET="+socket)
		wantHealthy(t, "unix", socket)
		stop(t, host, p)
	}
}

func TestInLambdaWithoutAnyWayInTheFunctionLives(t *testing.T) {
	dir := shortDir(t)
	host, p := sandbox(t, "HEARTH_ADDR=0.0.0.0:2774", "HEARTH_SOCKET="+dir) // a folder is no socket
	if _, err := host.Invoke(t.Context(), []byte("ping")); err != nil {
		t.Errorf("%v\n%s", err, p.Log())
	}
	stop(t, host, p) // then its log is whole
	wantAll(t, "the log", p.Log(), "HEARTH_ADDR: ", "is no socket")
}

func TestInLambdaStrictMeansThatWrongSettingsEndIt(t *testing.T) {
	env, wrongs := faulty()
	wantInitError(t, append(env, "HEARTH_ADDR=127.0.0.1:0", "HEARTH_SOCKET="+filepath.Join(shortDir(t), "s")), wrongs...)
}

func TestInLambdaStrictMeansThatBothWaysInMustBeOpen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := shortDir(t)
	wantInitError(t, []string{"HEARTH_ADDR=" + taken.Addr().String(), "HEARTH_SOCKET=" + filepath.Join(dir, "s")}, "address already in use")
	wantInitError(t, []string{"HEARTH_ADDR=127.0.0.1:0", "HEARTH_SOCKET=" + dir}, "is no socket")
}

// wantInitError looks for what Lambda is told of a hearth that is strict.
func wantInitError(t *testing.T, env []string, wrongs ...string) {
	t.Helper()
	host, err := lambdatest.New(lambdatest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	env = append(env, "HEARTH_STRICT=true")
	p, err := host.StartExtension(t.Context(), binary(t), asTested(env...)...)
	if err == nil { // it may have been seen registered before it reported
		select {
		case <-p.Done():
		case <-time.After(20 * time.Second):
			t.Fatalf("it lives:\n%s", p.Log())
		}
	} else {
		wantAll(t, "the error", err.Error(), "init/error")
	}
	reports := host.Reports()
	if len(reports) == 0 || reports[0].Call != "init/error" || reports[0].Type != "Hearth.Config" {
		t.Fatalf("Lambda was told %v", reports)
	}
	wantAll(t, "the report", reports[0].Body, wrongs...)
	if strings.Contains(reports[0].Body, "hunter2") {
		t.Errorf("the report shows a password: %s", reports[0].Body)
	}
}
