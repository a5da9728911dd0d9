package lambdatest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain runs the tests, or, started by one of them under an extension's name, an extension.
func TestMain(m *testing.M) {
	if behaviour := os.Getenv("LAMBDATEST_EXTENSION"); behaviour != "" {
		os.Exit(extensionMain(behaviour))
	}
	goleak.VerifyTestMain(m)
}

func extensionMain(behaviour string) int {
	c := &caller{host: os.Getenv("AWS_LAMBDA_RUNTIME_API")}
	switch behaviour {
	case "host":
		return hostMain()
	case "runtime":
		return runtimeMain(c)
	case "crash":
		fmt.Println("about to crash")
		return 3
	case "hang":
		select {}
	case "groups":
		groups, _ := os.ReadFile("/proc/self/cgroup")
		fmt.Print(string(groups))
	case "environment":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "hog":
		fmt.Println(len(bytes.Repeat([]byte("x"), 256<<20)))
	}
	events := cmp.Or(os.Getenv("LAMBDATEST_EVENTS"), "INVOKE,SHUTDOWN")
	c.register("hearth", strings.Split(events, ",")...)
	switch behaviour {
	case "mute":
		select {}
	case "burn":
		var used syscall.Rusage
		for used.Utime.Nano()+used.Stime.Nano() < (20 * time.Millisecond).Nanoseconds() {
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
		}
	}
	for {
		ev := c.next()
		fmt.Println("event", ev.EventType, ev.ShutdownReason)
		if ev.EventType == "SHUTDOWN" {
			if behaviour == "linger" {
				select {}
			}
			return 0
		}
	}
}

// runtimeMain is a runtime whose handler does what the payload says, or answers with its environment.
func runtimeMain(c *caller) int {
	fmt.Println("a runtime starts")
	for {
		_, header, payload := c.call(context.Background(), "GET", runtimeAPI+"/invocation/next", "")
		switch payload {
		case "hang":
			select {}
		case "exit":
			return 0
		}
		c.call(context.Background(), "POST", runtimeAPI+"/invocation/"+header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", strings.Join(os.Environ(), "\n"))
	}
}

// caller calls the APIs as an extension or a runtime does. It panics when it cannot: a test has failed then anyway.
type caller struct {
	host string
	id   string // Lambda-Extension-Identifier
}

func (c *caller) call(ctx context.Context, method, path, body string, headers ...string) (int, http.Header, string) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.host+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	if c.id != "" {
		req.Header.Set("Lambda-Extension-Identifier", c.id)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func (c *caller) register(name string, events ...string) (int, string) {
	in, _ := json.Marshal(map[string]any{"events": events})
	status, header, body := c.call(context.Background(), "POST", extensionAPI+"/register", string(in), "Lambda-Extension-Name", name)
	c.id = header.Get("Lambda-Extension-Identifier")
	return status, body
}

func (c *caller) next() event {
	status, header, body := c.call(context.Background(), "GET", extensionAPI+"/event/next", "")
	var ev event
	err := json.Unmarshal([]byte(body), &ev)
	bare := ev.EventType == "SHUTDOWN" && strings.HasPrefix(header.Get("Content-Type"), "text/plain") // the emulator's
	if err != nil || status != 200 || !bare && header.Get("Lambda-Extension-Event-Identifier") == "" {
		panic(fmt.Sprint(status, header, body))
	}
	return ev
}

func newHost(t *testing.T, cfg Config) (*Host, *caller) {
	t.Helper()
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h, &caller{host: h.Addr()}
}

// noLinger keeps the race detector from delaying each process's exit by a second.
const noLinger = "GORACE=atexit_sleep_ms=0"

// asExtension makes this test binary an extension called hearth.
func asExtension(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hearth")
	if err := os.Symlink(os.Args[0], path); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
