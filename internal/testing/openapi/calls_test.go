package openapi

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"

	"hearth/internal/testing/contract"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/testnet"
)

const token = "the-token"

// sidecar is a running Hearth.
type sidecar struct {
	testing.TB
	url  string
	http *http.Client
	see  func(testing.TB, exchange) // gets each exchange
}

// start starts the binary, and ends it with the test.
func start(t testing.TB, bin string, settings ...string) *sidecar {
	t.Helper()
	addr, err := testnet.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin) // ended by SIGTERM, as a person would
	cmd.Env = slices.Concat([]string{
		"HEARTH_ADDR=" + addr, "HEARTH_SOCKET=" + filepath.Join(t.TempDir(), "s"), "HEARTH_TOKEN=" + token, "GORACE=atexit_sleep_ms=0",
	}, settings)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-exited; err != nil {
			t.Errorf("the sidecar ended with %v\n%s", err, &log)
		}
	})
	for {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = conn.Close()
			return &sidecar{TB: t, url: "http://" + addr, http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("the sidecar ended with %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// send makes a call with the token, unless the headers, names and their values, have another: an empty value removes a header.
func (s *sidecar) send(method, target, body string, headers ...string) exchange {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.url, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	req.URL.Opaque = target // as it is
	req.Header.Set("X-Hearth-Token", token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	} else {
		req.Body = http.NoBody
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
		if pair[1] == "" {
			req.Header.Del(pair[0])
		}
	}
	resp, err := s.http.Do(req)
	if err != nil {
		s.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatalf("%s %s: %v", method, target, err)
	}
	e := exchange{method, target, req.Header, []byte(body), resp.StatusCode, resp.Header, reply}
	s.see(s, e)
	return e
}

// ask is send of a call that must be answered with a status and, if that is an error, with a kind of problem.
func (s *sidecar) ask(status int, kind, method, target, body string, headers ...string) exchange {
	s.Helper()
	e := s.send(method, target, body, headers...)
	if e.Status != status || e.kind() != kind {
		s.Errorf("want %d %s:\n%v", status, kind, e)
	}
	return e
}

const (
	chatPath = "/v1/chats/a%2Fb%20%25/"
	closed   = "http://127.0.0.1:1" // nobody listens there
)

func TestWhatHearthTakesAndAnswersIsInTheDocument(t *testing.T) {
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder) // of the page
	t.Cleanup(func() { openapi3filter.UnregisterBodyDecoder("text/html") })
	doc, bin := load(t), contract.Build(t)
	t.Run("each call with each status", func(t *testing.T) { eachStatus(t, doc, bin) })
	t.Run("the contract suite", func(t *testing.T) { contractSuite(t, doc, bin) })
}

func eachStatus(t *testing.T, doc *openapi3.T, bin string) {
	seen := map[string]bool{}
	see := func(t testing.TB, e exchange) {
		t.Helper()
		if err := check(doc, e); err != nil {
			t.Errorf("%v\n%v", err, e)
		}
		if route, _ := operation(doc, e); route != nil && e.Method == route.Method {
			seen[fmt.Sprintf("%s %d", route.Operation.OperationID, e.Status)] = true
		}
	}
	dir := t.TempDir()
	upstreams, err := lab.StartUpstreams(dir, lab.UpstreamsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upstreams.Close() })
	if err := lab.MakeClasses(t.Context(), bin, upstreams.Settings()); err != nil {
		t.Fatal(err)
	}
	other, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-testnet.Left(r)
			return
		}
		fmt.Fprint(w, "\xff")
	}), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	run := func(name string, settings []string, calls func(*sidecar)) {
		t.Run(name, func(t *testing.T) {
			s := start(t, bin, settings...)
			s.see = see
			calls(s)
		})
	}
	run("with all upstreams", append(upstreams.Settings(), "HEARTH_FETCH_ALLOW="+other.URL+","+closed, "HEARTH_MAX_BODY=64KiB"), func(s *sidecar) {
		chats(s)
		odoo(s)
		fetches(s, other.URL)
		invocations(s)
		operations(s)
		door(s)
	})
	run("without upstreams", nil, notConfigured)
	run("with upstreams that are down", []string{"HEARTH_WEAVIATE_URL=" + closed, "HEARTH_WEAVIATE_GRPC_URL=" + closed, "HEARTH_ODOO_URL=" + closed, "HEARTH_ODOO_DB=x", "HEARTH_ODOO_KEY=x"}, down)
	run("with upstreams that fail", upstreams.Settings(), func(s *sidecar) {
		failing(s, func(status int, exception string) {
			hook := func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Retry-After", "600")
				w.WriteHeader(status)
				fmt.Fprintf(w, `{"name":"%s","message":"no"}`, exception)
				return true
			}
			upstreams.Odoo.SetHook(hook)
			upstreams.Weaviate.SetHook(hook)
		})
	})
	hang := func(_ http.ResponseWriter, r *http.Request) bool { <-testnet.Left(r); return true }
	upstreams.Odoo.SetHook(hang)
	upstreams.Weaviate.SetHook(hang)
	run("with upstreams that are silent", upstreams.Settings(), silent)
	checkSeen(t, doc, seen)
}
