package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is where a test's lines are printed. Each line must be one write.
type output struct {
	mu     sync.Mutex
	writes []string // guarded by mu
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writes = append(o.writes, string(b))
	return len(b), nil
}

// lines decodes the lines of JSON. What has no line for people before it is no timing.
func (o *output) lines(t *testing.T) (timings, others []map[string]any) {
	t.Helper()
	people := false
	for _, w := range o.writes {
		if strings.Count(w, "\n") != 1 || !strings.HasSuffix(w, "\n") {
			t.Errorf("a write is %q", w)
		}
		if strings.HasPrefix(w, "[TIMING] ") {
			people = true
			continue
		}
		var line map[string]any
		if err := json.Unmarshal([]byte(w), &line); err != nil {
			t.Fatalf("%q: %v", w, err)
		}
		if _, err := time.Parse(time.RFC3339, fmt.Sprint(line["timestamp"])); err != nil {
			t.Error(err)
		}
		delete(line, "timestamp")
		if people {
			timings = append(timings, line)
		} else {
			others = append(others, line)
		}
		people = false
	}
	return timings, others
}

// sidecar answers as a test says, and remembers the timings that it was sent.
type sidecar struct {
	answer http.HandlerFunc // of other calls than timings; nil: {}
	refuse http.HandlerFunc // of timings; nil: they are taken

	mu   sync.Mutex
	sent []Timings // guarded by mu
}

func (s *sidecar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != PathTimings && s.answer != nil:
		s.answer(w, r)
	case r.URL.Path != PathTimings:
		_, _ = io.WriteString(w, "{}")
	case s.refuse != nil:
		s.refuse(w, r)
	default:
		var sent Timings
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.sent = append(s.sent, sent)
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}
}

func nothing(context.Context) (struct{}, error) { return struct{}{}, nil }

// step is an operation that takes so long.
func step(ctx context.Context, operation string, took time.Duration) {
	_, _ = Timed(ctx, operation, func(context.Context) (int, error) {
		time.Sleep(took)
		return 0, nil
	})
}

// timed runs a test with a client whose lines go to out.
func timed(t *testing.T, s *sidecar, test func(ctx context.Context, c *Client, out *output)) {
	out := &output{}
	inBubble(t, Config{Output: out}, s.ServeHTTP, func(t *testing.T, c *Client, _ *pipes) { test(t.Context(), c, out) })
}

func TestAnOperationWithinItselfIsMeasuredOnce(t *testing.T) {
	timed(t, &sidecar{}, func(ctx context.Context, c *Client, out *output) {
		ctx, end := c.Invocation(ctx, "")
		defer end()
		var left context.Context
		_, _ = Timed(ctx, "same", func(ctx context.Context) (struct{}, error) {
			left = ctx
			return Timed(ctx, "other", func(ctx context.Context) (struct{}, error) { return Timed(ctx, "same", nothing) })
		})
		step(left, "same", 0) // the operation around it has ended
		var operations []any
		timings, _ := out.lines(t)
		for _, line := range timings {
			operations = append(operations, line["operation"])
			if _, ok := line["request_id"]; ok {
				t.Errorf("%v", line)
			}
		}
		if fmt.Sprint(operations) != "[other same same]" {
			t.Errorf("%v", operations)
		}
	})
}

func TestALineTellsTheChatAndTheCache(t *testing.T) {
	const chat, hash = "c", "2e7d2c03a9507ae2"
	for _, tc := range []struct {
		status, age string
		want        any
	}{
		{"hearth; hit; ttl=12", "1", "hit"},
		{"hearth; hit; ttl=-3", "5", "stale"},
		{"hearth; fwd=miss", "0", "miss"},
		{"hearth; fwd=stale", "0", "miss"},
		{"hearth; fwd=stale", "1", "miss"}, // the load took a second
		{"hearth; fwd=stale", "9", "stale"},
		{"hearth; fwd=request; collapsed", "0", "miss"},
		{"", "0", nil},
	} {
		s := &sidecar{answer: func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(1200 * time.Millisecond)
			w.Header().Set("Cache-Status", tc.status)
			w.Header().Set("Age", tc.age)
			_, _ = io.WriteString(w, "{}")
		}}
		timed(t, s, func(ctx context.Context, c *Client, out *output) {
			ctx, end := c.Invocation(ctx, "")
			defer end()
			_, err := Timed(ctx, "op", func(ctx context.Context) (*History, error) { return c.History(ctx, chat, 1, 1) })
			timings, _ := out.lines(t)
			if line := timings[0]; err != nil || line["cache"] != tc.want || line["chat"] != hash {
				t.Errorf("%q, Age %s: %v, %v", tc.status, tc.age, line, err)
			}
		})
	}
}

func TestALineTellsEachPart(t *testing.T) {
	replies := map[string][2]string{ // Cache-Status and the body
		PathPreprocess:       {"", `{"cache":{"mute_status":"hit","history":"miss","odd":"?"}}`},
		"/v1/chats/a/mute":   {"hearth; hit; ttl=-1", `{}`},
		"/v1/chats/b/mute":   {"hearth; hit; ttl=1", `{}`},
		"/v1/odoo/models":    {"hearth; hit; ttl=1", `{}`},
		"/v1/chats/a/fails":  {},
		"/v1/chats/a/append": {},
	}
	s := &sidecar{answer: func(w http.ResponseWriter, r *http.Request) {
		reply, ok := replies[r.URL.Path]
		if !ok {
			http.Error(w, "{}", http.StatusBadGateway)
			return
		}
		w.Header().Set("Cache-Status", reply[0])
		_, _ = io.WriteString(w, reply[1])
	}}
	timed(t, s, func(ctx context.Context, c *Client, out *output) {
		ctx, end := c.Invocation(ctx, "")
		defer end()
		_, _ = Timed(ctx, "all", func(ctx context.Context) (struct{}, error) {
			_, _ = Timed(ctx, "preprocess", func(ctx context.Context) (*Preprocess, error) {
				return c.Preprocess(ctx, PreprocessRequest{ChatID: "a"})
			})
			_, _ = Timed(ctx, "fails", func(ctx context.Context) (*History, error) { return c.History(ctx, "a", 1, 1) })
			_, _ = Timed(ctx, "two", func(ctx context.Context) (Mute, error) {
				_, err := c.Mute(ctx, "b")
				return Mute{}, errors.Join(err, func() error { _, err := c.Mute(ctx, "a"); return err }())
			})
			return struct{}{}, func() error { _, err := c.OdooModels(ctx, nil); return err }()
		})
		timings, _ := out.lines(t)
		var got []string
		for _, line := range timings {
			got = append(got, fmt.Sprint(line["operation"], " ", line["cache"], " ", line["chat"] != nil, " ", line["error"]))
		}
		want := []string{
			"preprocess map[history:miss mute_status:hit] true <nil>",
			"fails <nil> true *wire.Problem",
			"two stale false <nil>",
			"all map[history:miss mute_status:stale odoo_models:hit] false <nil>",
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q", got)
		}
	})
}

func TestOddOperations(t *testing.T) {
	s := &sidecar{}
	timed(t, s, func(ctx context.Context, c *Client, out *output) {
		ctx, end := c.Invocation(ctx, "")
		for _, operation := range []string{"", "a\nb\x1b\u2028", "\xff", strings.Repeat("ä", 200), `{"a":1}`} {
			step(ctx, operation, 0)
		}
		func() {
			defer func() {
				if recover() != "no" {
					t.Error("the panic did not pass")
				}
			}()
			_, _ = Timed(ctx, "panics", func(context.Context) (struct{}, error) { panic("no") })
		}()
		end()
		var got []string
		for _, timing := range s.sent[0].Timings {
			got = append(got, timing.Operation)
		}
		want := []string{"unnamed", "a\nb\x1b\u2028", "?", strings.Repeat("ä", 128), `{"a":1}`, "panics"}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q", got)
		}
		if timings, _ := out.lines(t); len(timings) != 6 || timings[5]["error"] != "panic" {
			t.Errorf("%v", timings)
		}
		if out.writes[2] != "[TIMING] a b  : 0.000s\n" {
			t.Errorf("%q", out.writes[2])
		}
	})
}

func TestTheTraceOfTheEnvironmentIsSent(t *testing.T) {
	var got []string
	answer := func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("X-Amzn-Trace-Id"))
		_, _ = io.WriteString(w, "{}")
	}
	inBubble(t, Config{}, answer, func(t *testing.T, c *Client, _ *pipes) {
		of := func(trace string) context.Context {
			return context.WithValue(t.Context(), "x-amzn-trace-id", trace) //nolint:staticcheck // the key that aws-lambda-go uses
		}
		for _, env := range []string{"", "Root=1", "a\r\nb: c"} {
			t.Setenv("_X_AMZN_TRACE_ID", env)
			for _, ctx := range []context.Context{t.Context(), of("Root=2"), of("Root=\n")} {
				if err := c.Health(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
		if want := []string{"", "Root=2", "", "Root=1", "Root=2", "", "", "Root=2", ""}; !reflect.DeepEqual(got, want) {
			t.Errorf("%q", got)
		}
	})
}

func TestOutputIsStdoutByDefault(t *testing.T) {
	c, err := New(Config{})
	if err != nil || c.cfg.Output == nil {
		t.Errorf("%v", err)
	}
	var b bytes.Buffer
	if c, err = New(Config{Output: &b}); err != nil || c.cfg.Output != &b {
		t.Errorf("%v", err)
	}
}

// careless is an error whose methods need more than they have.
type careless struct{ inner error }

func (c *careless) Error() string { return c.inner.Error() }
func (c *careless) Unwrap() error { return c.inner }

func TestAnErrorWhoseMethodsPanicIsReturnedAsItIs(t *testing.T) {
	timed(t, &sidecar{}, func(ctx context.Context, c *Client, out *output) {
		ctx, end := c.Invocation(ctx, "")
		defer end()
		for _, want := range []error{(*Problem)(nil), (*careless)(nil)} {
			if _, err := Timed(ctx, "x", func(context.Context) (int, error) { return 0, want }); err != want { //nolint:errorlint // the very same
				t.Errorf("%T became %T", want, err)
			}
		}
		lines, _ := out.lines(t)
		if got := fmt.Sprint(lines[0]["error"], " ", lines[1]["error"]); got != "*wire.Problem *client.careless" {
			t.Error(got)
		}
	})
}
