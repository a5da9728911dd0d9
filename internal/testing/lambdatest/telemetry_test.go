package lambdatest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

const subscription25ms = `{"schemaVersion":"2022-12-13","types":["platform"],"buffering":{"maxItems":1000,"maxBytes":262144,"timeoutMs":25},` +
	`"destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain:%s"}}`

// receiver takes telemetry, which it refuses as often as said before.
type receiver struct {
	port   string
	events chan string // Their types, and the status and the request of those that have one.
	tries  atomic.Int32
}

func newReceiver(t *testing.T, refusals int32) *receiver {
	r := &receiver{events: make(chan string, 100)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.tries.Add(1) <= refusals {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		var batch []struct {
			Time, Type string
			Record     struct {
				RequestID, Status string
				Metrics           struct{ DurationMs float64 }
			}
		}
		if err := json.NewDecoder(req.Body).Decode(&batch); err != nil || len(batch) == 0 || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("a batch of %d: %v", len(batch), err)
		}
		for _, ev := range batch {
			if !strings.HasSuffix(ev.Time, "Z") {
				t.Errorf("%s at %q", ev.Type, ev.Time)
			}
			r.events <- strings.Join(strings.Fields(ev.Type+" "+ev.Record.Status+" "+ev.Record.RequestID), " ")
		}
	}))
	t.Cleanup(s.Close)
	r.port = s.URL[strings.LastIndexByte(s.URL, ':')+1:]
	return r
}

func TestTelemetryTellsOfInitAndOfInvocationsUntilItIsTaken(t *testing.T) {
	r := newReceiver(t, 2)
	h, ext := newHost(t, Config{
		Answer:    echo,
		LoseEvent: func(kind, requestID string) bool { return kind == "platform.start" && requestID != "" },
	})
	ext.register("hearth", "INVOKE")
	if status, _, body := ext.call(t.Context(), "PUT", telemetryAPI, fmt.Sprintf(subscription25ms, r.port)); status != 200 || strings.TrimSpace(body) != `"OK"` {
		t.Fatalf("%d %s", status, body)
	}
	ids := make(chan string)
	go func() {
		for range 2 {
			ids <- ext.next().RequestID
		}
		ext.call(t.Context(), "GET", extensionAPI+"/event/next", "")
	}()
	for _, want := range []string{"platform.initStart", "platform.telemetrySubscription", "platform.initRuntimeDone success", "platform.initReport success"} {
		if got := <-r.events; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if r.tries.Load() < 3 {
		t.Errorf("taken at attempt %d", r.tries.Load())
	}
	for range 2 {
		if _, err := h.Invoke(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		id := <-ids
		for _, want := range []string{"platform.runtimeDone success " + id, "platform.report success " + id} {
			if got := <-r.events; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
	if status, _, body := ext.call(t.Context(), "PUT", telemetryAPI, fmt.Sprintf(subscription25ms, r.port)); status != 403 || !strings.Contains(body, "Telemetry.SubscriptionClosed") {
		t.Errorf("after INIT: %d %s", status, body)
	}
	h.Close()
}

func TestTheRuntimeIsDoneWhileAnExtensionIsStillAtWork(t *testing.T) {
	r := newReceiver(t, 0)
	h, ext := newHost(t, Config{})
	ext.register("hearth", "INVOKE")
	ext.call(t.Context(), "PUT", telemetryAPI, fmt.Sprintf(subscription25ms, r.port))
	ids := make(chan string)
	go func() { ids <- ext.next().RequestID }()
	go func() {
		rt := &caller{host: h.Addr()}
		_, header, _ := rt.call(t.Context(), "GET", runtimeAPI+"/invocation/next", "")
		rt.call(t.Context(), "POST", runtimeAPI+"/invocation/"+header.Get("Lambda-Runtime-Aws-Request-Id")+"/error", "{}")
		rt.call(t.Context(), "GET", runtimeAPI+"/invocation/next", "")
	}()
	if _, err := h.Invoke(t.Context(), nil); err == nil {
		t.Error("no error")
	}
	id := <-ids
	var got []string
	for len(got) < 6 {
		got = append(got, <-r.events)
	}
	if want := []string{"platform.start " + id, "platform.runtimeDone error " + id}; !slices.Equal(got[4:], want) {
		t.Errorf("got %q, want %q at its end", got, want)
	}
	if ended := h.Invocations(); len(ended) > 0 {
		t.Errorf("ended: %+v", ended)
	}
	h.Close()
}

func TestManagedInstancesTellOfNoRuntimeDone(t *testing.T) {
	r := newReceiver(t, 0)
	h, ext := newHost(t, Config{Init: ManagedInstances, Answer: func(context.Context, []byte) ([]byte, error) { return nil, ErrTimeout }})
	ext.register("hearth", "SHUTDOWN")
	if status, _, body := ext.call(t.Context(), "PUT", telemetryAPI, fmt.Sprintf(subscription25ms, r.port)); status != 400 || !strings.Contains(body, "schemaVersion") {
		t.Errorf("an old schema: %d %s", status, body)
	}
	ext.call(t.Context(), "PUT", telemetryAPI, strings.Replace(fmt.Sprintf(subscription25ms, r.port), "2022-12-13", "2025-01-29", 1))
	go ext.call(t.Context(), "GET", extensionAPI+"/event/next", "")
	if _, err := h.Invoke(t.Context(), nil); err == nil {
		t.Error("no error")
	}
	for got := ""; !strings.HasPrefix(got, "platform.report timeout"); {
		if got = <-r.events; strings.HasPrefix(got, "platform.runtimeDone") {
			t.Errorf("got %q", got)
		}
	}
	h.Close()
}

func TestASubscriptionIsRefusedAsLambdaWould(t *testing.T) {
	good := fmt.Sprintf(subscription25ms, "8080")
	for _, tc := range []struct {
		old, changed string
		answer       int // Of the host, if it is told to.
		status       int
		says         string
	}{
		{"", "", 202, 202, "Telemetry.NotSupported"},
		{"", "", 500, 500, "Internal Server Error"},
		{"{", "[", 0, 400, "ValidationError"},
		{"2022-12-13", "2021-03-18", 0, 400, "schemaVersion"},
		{`["platform"]`, `[]`, 0, 400, "types"},
		{`["platform"]`, `["platform","rumours"]`, 0, 400, "types"},
		{`:25}`, `:24}`, 0, 400, "timeoutMs is 24"},
		{`:25}`, `:30001}`, 0, 400, "timeoutMs is 30001"},
		{`1000`, `999`, 0, 400, "maxItems is 999"},
		{`1000`, `10001`, 0, 400, "maxItems is 10001"},
		{`262144`, `262143`, 0, 400, "maxBytes is 262143"},
		{`262144`, `1048577`, 0, 400, "maxBytes is 1048577"},
		{`"HTTP"`, `"TCP"`, 0, 400, "destination"},
		{`sandbox.localdomain`, `example.com`, 0, 400, "destination"},
		{`8080`, `9001`, 0, 400, "destination"},
		{`:8080`, ``, 0, 400, "destination"},
		{`http://`, `https://`, 0, 400, "destination"},
		{`sandbox.localdomain`, `127.0.0.1`, 0, 200, "OK"},
		{`,"buffering":{"maxItems":1000,"maxBytes":262144,"timeoutMs":25}`, ``, 0, 200, "OK"},
	} {
		h, ext := newHost(t, Config{TelemetryStatus: tc.answer})
		ext.register("hearth", "INVOKE")
		body := strings.Replace(good, tc.old, tc.changed, 1)
		if status, _, answer := ext.call(t.Context(), "PUT", telemetryAPI, body); status != tc.status || !strings.Contains(answer, tc.says) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
		h.Close()
	}
}
