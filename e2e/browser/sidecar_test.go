package browser

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hearth/internal/testing/await"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/testnet"
)

// sidecar is a running Hearth.
type sidecar struct {
	bin, address string
	settings     []string
	url, token   string
	turns        atomic.Int64 // made so far
	stop         func()
	signal       func(os.Signal)
}

// build builds Hearth and returns the binary's path.
func build(t *testing.T) string {
	t.Helper()
	root, err := lab.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "hearth")
	if err := lab.Build(t.Context(), root, bin); err != nil {
		t.Fatal(err)
	}
	return bin
}

// start starts a sidecar before doubles of Weaviate and Odoo. It asks for the token, or for none if that is empty. It ends with the test.
func start(t *testing.T, bin, token string, rtt time.Duration) *sidecar {
	t.Helper()
	upstreams, err := lab.StartUpstreams(t.TempDir(), lab.UpstreamsConfig{RTT: rtt})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upstreams.Close() })
	if err := lab.MakeClasses(t.Context(), bin, upstreams.Settings()); err != nil {
		t.Fatal(err)
	}
	return startWith(t, bin, token, upstreams.Settings())
}

func startWith(t *testing.T, bin, token string, settings []string) *sidecar {
	t.Helper()
	address, err := testnet.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	s := &sidecar{bin: bin, address: address, settings: settings, url: "http://" + address, token: token}
	s.run(t)
	return s
}

// run starts the process, and again after stop.
func (s *sidecar) run(t *testing.T) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), s.bin)
	cmd.Env = append(slices.Clone(s.settings), "HEARTH_ADDR="+s.address, "HEARTH_TOKEN="+s.token)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.signal = func(signal os.Signal) { _ = cmd.Process.Signal(signal) }
	ended := false
	s.stop = func() {
		if ended {
			return
		}
		ended = true
		s.signal(syscall.SIGTERM)
		s.signal(syscall.SIGCONT) // it may be frozen
		if err := cmd.Wait(); err != nil {
			t.Errorf("the sidecar ended: %v\n%s", err, &log)
		}
	}
	t.Cleanup(s.stop)
	await.That(t, "the sidecar answers", func() bool {
		r, err := http.Get(s.url + "/healthz")
		if err == nil {
			r.Body.Close()
		}
		return err == nil
	})
}

// post makes a call of one invocation.
func (s *sidecar) post(ctx context.Context, path, trace, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Hearth-Token", s.token)
	req.Header.Set("X-Amzn-Trace-Id", "Root="+trace)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s is answered %s", path, resp.Status)
	}
	return nil
}

// turn is an invocation of a chatbot: what it does before it can answer, what it saves after that, and what it has measured.
func (s *sidecar) turn(ctx context.Context, chat, text string) error {
	n := s.turns.Add(1)
	trace := fmt.Sprintf("1-67891233-%024x", n)
	began := time.Now()
	ask := fmt.Sprintf(`{"chat_id":%q,"text":%q,"route_name":"odoo_erp","enable_odoo":true,"num_messages":10}`, chat, text)
	if err := s.post(ctx, "/v1/preprocess", trace, ask); err != nil {
		return err
	}
	asked := time.Since(began)
	if n%3 == 0 { // as a handler with a second branch
		if err := s.post(ctx, "/v1/preprocess", trace, ask); err != nil {
			return err
		}
	}
	said := fmt.Sprintf(`[{"role":"user","content":%q},{"role":"assistant","content":"An answer to it."}]`, text)
	if err := s.post(ctx, "/v1/chats/"+chat+"/messages", trace, said); err != nil {
		return err
	}
	took := float64(time.Since(began).Microseconds()) / 1000
	return s.post(ctx, "/v1/timings", trace, fmt.Sprintf(`{"request_id":"r-%d","function_ms":%f,"timings":[`+
		`{"operation":"parallel_preprocessing","duration_ms":%f},{"operation":"lambda_handler_total","duration_ms":%f}]}`,
		n, took, float64(asked.Microseconds())/1000, took))
}

// underLoad makes turns of a few chats, one after another, until the returned function is called. Every other turn is one that was made
// before.
func (s *sidecar) underLoad(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			if err := s.turn(ctx, fmt.Sprint("chat-", n%5), fmt.Sprint("Question ", n/10)); err != nil {
				if ctx.Err() != nil {
					err = nil
				}
				failed <- err
				return
			}
		}
	}()
	return func() {
		t.Helper()
		cancel()
		if err := <-failed; err != nil {
			t.Errorf("the load: %v", err)
		}
	}
}

func axeRules(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("%v: make browser installs it", err)
	}
	return string(text)
}
