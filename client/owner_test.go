package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hearth/client"
)

const nobody = 65534

// roles are what processes that tests start do. Such a process is this test program with HEARTH_TEST_ROLE set.
func roles() map[string]func() {
	return map[string]func(){
		"listener": func() {
			l, err := new(net.ListenConfig).Listen(context.Background(), "unix", os.Getenv("HEARTH_SOCKET"))
			if err == nil {
				err = os.Chmod(os.Getenv("HEARTH_SOCKET"), 0o666)
			}
			fmt.Println("listens", err)
			for err == nil {
				var conn net.Conn
				if conn, err = l.Accept(); err == nil {
					heard, _ := io.ReadAll(conn)
					fmt.Printf("heard %q\n", heard)
				}
			}
		},
		"caller": func() {
			c, err := client.New(client.Config{Socket: os.Getenv("HEARTH_SOCKET")})
			if err == nil {
				err = c.Health(context.Background())
			}
			fmt.Println("called", err)
		},
		"handler": func() {
			_ = os.Setenv("AWS_SESSION_TOKEN", "of another role")
			_ = os.Unsetenv("AWS_LAMBDA_RUNTIME_API")
			cfg := client.FromEnv(os.Getenv)
			fmt.Println(cfg.Socket, cfg.Token)
		},
	}
}

// start runs this program in a role, as the given user, until the test ends. It returns the lines that it prints.
func start(t *testing.T, role string, user uint32, env ...string) *bufio.Scanner {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(env, "HEARTH_TEST_ROLE="+role)
	if int(user) != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	}
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	return bufio.NewScanner(out)
}

func wantLine(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	if !lines.Scan() || lines.Text() != want {
		t.Errorf("got %q, want %q", lines.Text(), want)
	}
}

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
}

// openSocket is a path where every user may make a socket.
func openSocket(t *testing.T) string {
	dir := shortDir(t)
	must(t, os.Chmod(dir, 0o777)) //nolint:gosec // for the other user
	return filepath.Join(dir, "s")
}

func TestASocketOfAnotherUsersProcessIsToldNothing(t *testing.T) {
	needRoot(t)
	path, f, closed := openSocket(t), newFake(t), closedPort(t)
	lines := start(t, "listener", nobody, "HEARTH_SOCKET="+path)
	wantLine(t, lines, "listens <nil>")

	err := newClient(t, client.Config{Socket: path, Token: token}).SetMute(t.Context(), "a", client.Mute{})
	if !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), "user 65534") || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	wantLine(t, lines, `heard ""`)
	wantBoth(t, newClient(t, client.Config{Socket: path, Addr: closed, Token: token}).Health(t.Context()), path, closed)
	wantLine(t, lines, `heard ""`)

	must(t, newClient(t, client.Config{Socket: path, Addr: f.addr(), Token: token}).SetMute(t.Context(), "a", client.Mute{}))
	wantLine(t, lines, `heard ""`)
	if len(f.calls()) != 1 {
		t.Errorf("the address was asked %d times", len(f.calls()))
	}
}

func TestASocketThatAnotherUserTakesOverIsToldNothing(t *testing.T) {
	needRoot(t)
	path := openSocket(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	_ = s.Listener.Close()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	must(t, err)
	s.Listener = l
	s.Start()
	c := newClient(t, client.Config{Socket: path, Token: token})
	var calls sync.WaitGroup
	for range 4 { // some connections to keep
		calls.Go(func() {
			if _, err := c.Mute(t.Context(), "a"); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	s.Close()

	lines := start(t, "listener", nobody, "HEARTH_SOCKET="+path)
	wantLine(t, lines, "listens <nil>")
	for _, call := range []func() error{
		func() error { _, err := c.Mute(t.Context(), "a"); return err },
		func() error { return c.SetMute(t.Context(), "a", client.Mute{}) },
		func() error { _, err := c.OdooCall(t.Context(), client.Call{}); return err },
	} {
		if err := call(); !errors.Is(err, client.ErrUnreachable) {
			t.Errorf("%v", err)
		}
		wantLine(t, lines, `heard ""`)
	}
}

func TestASocketOfRootsProcessIsUsed(t *testing.T) {
	needRoot(t)
	path := openSocket(t)
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	must(t, err)
	must(t, os.Chmod(path, 0o666)) //nolint:gosec // for the other user
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	defer s.Close()
	wantLine(t, start(t, "caller", nobody, "HEARTH_SOCKET="+path), "called <nil>")
}

// Lambda starts the process. After that the handler assumes another role, and unsets the variable that Lambda sets.
func TestTheTokenIsOfTheCredentialThatTheProcessWasStartedWith(t *testing.T) {
	for _, name := range []string{"AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"} {
		for _, mode := range []string{"GODEBUG=", "GODEBUG=fips140=only"} {
			lines := start(t, "handler", uint32(os.Geteuid()), "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", name+"=s", mode)
			wantLine(t, lines, "/tmp/hearth.sock 17143f132f3438a5457da142f2c97ec716e982930a0ab57835258b70b640c74b")
		}
	}
	outside := start(t, "handler", uint32(os.Geteuid()), "AWS_SESSION_TOKEN=s", "HEARTH_SOCKET= /s\n", "HEARTH_TOKEN=t\n")
	wantLine(t, outside, "/s t")
}

func TestWhatCannotBeWrittenAsJSONIsNamedAndNothingIsSent(t *testing.T) {
	f := newFake(t)
	c := newClient(t, client.Config{Addr: f.addr()})
	ctx, nan := t.Context(), float32(math.NaN())
	late := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	message := func(m client.NewMessage) []client.NewMessage { return []client.NewMessage{{Role: "user"}, m} }
	for field, call := range map[string]func() error{
		"vector": func() error {
			_, err := c.Relevant(ctx, "a", client.RelevantRequest{Text: "b", Vector: []float32{1, nan}})
			return err
		},
		"vector ": func() error {
			_, err := c.Preprocess(ctx, client.PreprocessRequest{ChatID: "a", Vector: []float32{nan}})
			return err
		},
		"until": func() error { return c.SetMute(ctx, "a", client.Mute{Until: &late}) },
		"[1].vector": func() error {
			_, err := c.Append(ctx, "a", message(client.NewMessage{Vector: []float32{nan}}))
			return err
		},
		"[1].created_at": func() error {
			_, err := c.Append(ctx, "a", message(client.NewMessage{CreatedAt: late}))
			return err
		},
		"[1].properties": func() error {
			_, err := c.Append(ctx, "a", message(client.NewMessage{Properties: map[string]any{"x": nan}}))
			return err
		},
		"args": func() error {
			_, err := c.OdooCall(ctx, client.Call{Args: []any{nan}})
			return err
		},
		"kwargs": func() error {
			_, err := c.OdooCall(ctx, client.Call{Kwargs: map[string]any{"x": func() {}}})
			return err
		},
	} {
		field = strings.TrimSpace(field)
		p, ok := errors.AsType[*client.Problem](call())
		if !ok || p.Status != http.StatusBadRequest || p.Field != field || !strings.Contains(p.Error(), field+" cannot be written as JSON") {
			t.Errorf("%s: %v", field, p)
		}
	}
	if calls := f.calls(); len(calls) > 0 {
		t.Errorf("sent: %v", calls)
	}
}

func TestAWriteThatFailedInPartSaysWhyOfTheFirst(t *testing.T) {
	body := `{"title":"Partly failed","detail":"not every message was stored: see items","items":[
		{"id":"1","outcome":"stored"},{"id":"2","outcome":"failed","detail":"a vector of 3 dimensions"},{"id":"3","outcome":"unknown"}]}`
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, body)
	})
	_, err := newClient(t, client.Config{Addr: f.addr()}).Append(t.Context(), "a", []client.NewMessage{{}, {}, {}})
	if want := "hearth: Partly failed: message 2 of 3: failed, a vector of 3 dimensions"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	for _, tc := range []struct {
		items []client.ItemOutcome
		want  string
	}{
		{[]client.ItemOutcome{{Outcome: "unknown"}, {Outcome: "failed", Detail: "b"}}, "hearth: a: message 1 of 2: unknown"},
		{[]client.ItemOutcome{{Outcome: "stored"}}, "hearth: a: d"},
		{nil, "hearth: a: d"},
	} {
		if got := (&client.Problem{Title: "a", Detail: "d", Items: tc.items}).Error(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}
