package contract

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/internal/testing/await"
	"hearth/internal/testing/lambdatest"
)

// Victim is a server that is a process of its own, and may be killed.
type Victim struct {
	Name    string
	Kill    func() error                // kill -9; returns once it is gone
	Restart func(context.Context) error // where it was before, with the data that it keeps
}

// RunFailOpen breaks what a function depends on, one thing after another. Every invocation must succeed all the same, with the
// real extension and the sample handler in Go on Lambda's own runtime library.
func RunFailOpen(t *testing.T, bin string, u Upstreams, victims ...Victim) {
	s := newSuite(t, bin, u)
	for _, v := range victims {
		t.Run("kill -9 of "+v.Name, func(t *testing.T) { s.killed(t, v) })
	}
	t.Run("a wrong key", s.wrongKeys)
	t.Run("a taken port", s.takenPort)
	t.Run("a full disk", s.fullDisk)
	t.Run("a DNS server that hangs", s.hangingDNS)
}

// function is one in Lambda, with the extension beside it.
type function struct {
	t         *testing.T
	host      *lambdatest.Host
	extension *lambdatest.Process
	sidecar   *hearth
	turns     int
}

const (
	giveUp  = 2 * time.Second          // the timeout of an upstream
	longest = 2*giveUp + 6*time.Second // that an invocation may take, which makes two calls; the rest is for a busy machine
)

// function starts the extension with env, and the handler with that and more.
func (s *suite) function(t *testing.T, env []string, more ...string) *function {
	t.Helper()
	f := &function{t: t}
	patient := []string{"HEARTH_WEAVIATE_TIMEOUT=" + giveUp.String(), "HEARTH_ODOO_TIMEOUT=" + giveUp.String()}
	f.host, f.extension, f.sidecar = s.extension(t, lambdatest.Config{Timeout: time.Minute}, append(patient, env...)...)
	startGo(t, f.host, f.sidecar, moduleRoot(t), append(env, more...)...)
	return f
}

// end shuts the sandbox down as Lambda does. A test defers it, because its cleanups run only after its context has killed the processes.
func (f *function) end() {
	f.t.Helper()
	if reports := f.host.Reports(); len(reports) != 0 {
		f.t.Errorf("Lambda was told %v", reports)
	}
	if err := f.extension.Stop(f.t.Context()); err != nil {
		f.t.Errorf("the extension's end: %v\n%s", err, f.extension.Log())
	}
	checkLog(f.t, f.extension.Log())
}

// turn makes one invocation, which must succeed in time, and says whether the handler could save the turn through Hearth.
func (f *function) turn() (saved bool) {
	f.t.Helper()
	f.turns++
	event := fmt.Sprintf(`{"chat_id":"fail open","text":"turn %d","route_name":"odoo_erp"}`, f.turns)
	began := time.Now()
	answer, err := f.host.Invoke(f.t.Context(), []byte(event))
	if took := time.Since(began); err != nil || took > longest {
		f.t.Fatalf("invocation %d: %v after %v\n%s", f.turns, err, took, f.extension.Log())
	}
	var got sampleReply
	if err := json.Unmarshal(answer, &got); err != nil || !strings.Contains(got.Reply, fmt.Sprintf("turn %d", f.turns)) {
		f.t.Fatalf("invocation %d: %s, %v", f.turns, answer, err)
	}
	return got.Saved
}

// logs waits until the log has the text.
func (f *function) logs(why string) {
	f.t.Helper()
	await.ThatWithin(f.t, time.Minute, "the log says: "+why, func() bool { return strings.Contains(f.extension.Log(), why) })
}

// until invokes until so says yes.
func (f *function) until(what string, so func(saved bool) bool) {
	f.t.Helper()
	await.ThatWithin(f.t, time.Minute, what, func() bool { return so(f.turn()) })
}

// during invokes without a break while do runs.
func (f *function) during(do func() error) {
	f.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	for {
		f.turn()
		select {
		case err := <-ended:
			if err != nil {
				f.t.Fatal(err)
			}
			return
		default:
		}
	}
}

// whole says whether both upstreams work: the turn was saved, and Odoo answers.
func (f *function) whole(saved bool) bool {
	r, err := f.sidecar.try(f.t.Context(), http.MethodGet, "/v1/odoo/models", nil, "Cache-Control", "no-cache")
	return saved && err == nil && r.status == http.StatusOK
}

func (s *suite) killed(t *testing.T, v Victim) {
	f := s.function(t, nil)
	defer f.end()
	f.until("all is well", f.whole)
	f.during(v.Kill)
	f.until(v.Name+" is missed", func(saved bool) bool { return !f.whole(saved) })
	f.during(func() error {
		if err := v.Restart(t.Context()); err != nil {
			return err
		}
		_, err := s.tryMakeClasses(t) // a stand-in keeps nothing
		return err
	})
	f.until("all is well again", f.whole)
	t.Logf("%d invocations", f.turns)
}

// wrongKeys runs a function with a wrong key for Odoo, and one with a wrong key for Weaviate.
func (s *suite) wrongKeys(t *testing.T) {
	f := s.function(t, []string{"HEARTH_ODOO_KEY=wrong"})
	defer f.end()
	f.until("Weaviate is asked", func(saved bool) bool { return saved })
	wantProblem(t, f.sidecar.get(t, "/v1/odoo/models"), http.StatusBadGateway)

	strict := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "2") // unknown, as Weaviate says it
			w.Header().Set("Grpc-Message", "extract auth: unauthorized: invalid api key")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"code":401,"message":"unauthorized: invalid api key"}`))
	}))
	strict.Config.Protocols = new(http.Protocols)
	strict.Config.Protocols.SetHTTP1(true)
	strict.Config.Protocols.SetUnencryptedHTTP2(true)
	strict.Start()
	t.Cleanup(strict.Close)
	f = s.function(t, append(weaviateAt(strict.URL), "HEARTH_WEAVIATE_API_KEY=wrong"))
	defer f.end()
	for range 3 {
		if f.turn() {
			t.Error("a turn counts as saved")
		}
	}
	if problem := wantProblem(t, f.sidecar.get(t, chatPath("fail open", "mute")), http.StatusBadGateway); problem.Retryable {
		t.Errorf("a wrong key is called retryable: %+v", problem)
	}
	if strings.Contains(f.extension.Log(), "wrong") {
		t.Errorf("the key is in the log:\n%s", f.extension.Log())
	}
}

// stranger is a server that has taken the port of Hearth, and answers every request.
type stranger struct {
	addr string

	mu   sync.Mutex
	told strings.Builder // guarded by mu
}

func newStranger(t *testing.T) *stranger {
	t.Helper()
	s := &stranger{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = r.Write(&s.told) // as far as it can be read
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(server.Close)
	s.addr = server.Listener.Addr().String()
	return s
}

func (s *stranger) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told.String()
}

func (s *suite) takenPort(t *testing.T) {
	taken := newStranger(t)
	addr := "HEARTH_ADDR=" + taken.addr
	f := s.function(t, []string{addr})
	defer f.end()
	f.until("the socket serves", func(saved bool) bool { return saved })
	if heard := taken.heard(); heard != "" {
		t.Errorf("while there is a socket, the stranger was told:\n%s", heard)
	}
	const why = "address already in use"
	if ready := f.sidecar.overSocket().get(t, "/readyz"); !strings.Contains(string(ready.body), why) {
		t.Errorf("/readyz does not say that the port is taken: %v", ready)
	}
	f.logs(why)

	f = s.function(t, []string{addr}, "HEARTH_SOCKET="+filepath.Join(t.TempDir(), "nobody"))
	defer f.end()
	for range 3 {
		if f.turn() {
			t.Error("a turn was saved by a stranger")
		}
	}
	if heard := taken.heard(); heard == "" || strings.Contains(heard, f.sidecar.token) || strings.Contains(heard, "turn") {
		t.Errorf("the stranger was told:\n%s", heard)
	}
}

// fullDisk runs a function without room for the socket.
func (s *suite) fullDisk(t *testing.T) {
	disk := t.TempDir()
	// One inode is what the folder itself takes.
	full := s.within(t, fmt.Sprintf("mount -t tmpfs -o nr_inodes=1 tmpfs '%s'", disk))
	socket := "HEARTH_SOCKET=" + filepath.Join(disk, "s")
	addr := "HEARTH_ADDR=" + freeAddress(t)
	f := full.function(t, []string{socket, addr})
	defer f.end()
	f.until("TCP serves", func(saved bool) bool { return saved })
	f.logs("no space left on device")
}

// hangingDNS runs a function whose name server never answers.
func (s *suite) hangingDNS(t *testing.T) {
	silent, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.77:53")
	if err != nil {
		cannot(t, "no name server can be here: %v", err)
	}
	defer silent.Close()
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.77\noptions timeout:60 attempts:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	unresolved := s.within(t, fmt.Sprintf("mount --bind '%s' /etc/resolv.conf", conf))
	f := unresolved.function(t, append(weaviateAt("https://weaviate.example:8443"), "GODEBUG=netdns=go"))
	defer f.end()
	for range 2 {
		if f.turn() {
			t.Error("a turn was saved nowhere")
		}
	}
	asked := make([]byte, 512)
	if err := silent.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := silent.ReadFrom(asked); err != nil || !strings.Contains(string(asked[:n]), "\x08weaviate\x07example") {
		t.Errorf("the name server was asked %q, %v", asked[:n], err)
	}
}

// within is the suite with a binary that runs in a mount namespace of its own, after a shell command has mounted something there.
func (s *suite) within(t *testing.T, mount string) *suite {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", mount).CombinedOutput(); err != nil {
		cannot(t, "nothing can be mounted here: %v: %s", err, out)
	}
	script := fmt.Sprintf("#!/bin/sh\nexec unshare --mount sh -c \"%s && exec '%s'\"\n", mount, s.bin)
	within := *s
	within.bin = filepath.Join(t.TempDir(), "hearth")
	if err := os.WriteFile(within.bin, []byte(script), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	return &within
}

// cannot skips a test that this machine cannot run. In CI it fails the test, unless E2E=optional.
func cannot(t *testing.T, why string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" && os.Getenv("E2E") != "optional" {
		t.Fatalf(why, args...)
	}
	t.Skipf(why, args...)
}
