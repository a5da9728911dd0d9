package extension

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// batchOf is a batch as Lambda sends it, with the ends of the invocations among other events.
func batchOf(ids ...string) string {
	events := []string{`{"time":"2026-01-01T00:00:00.000Z","type":"platform.initStart","record":{"phase":"init"}}`}
	for _, id := range ids {
		events = append(events,
			fmt.Sprintf(`{"time":"2026-01-01T00:00:00.000Z","type":"platform.start","record":{"requestId":%q,"version":"$LATEST"}}`, id),
			fmt.Sprintf(`{"time":"2026-01-01T00:00:00.123Z","type":"platform.runtimeDone","record":{"requestId":%q,"status":"success",`+
				`"metrics":{"durationMs":123.5,"producedBytes":86},"spans":[{"name":"responseLatency","durationMs":23.0}]}}`, id))
	}
	return "[" + strings.Join(events, ",") + "]"
}

func endOf(id string) RuntimeDone {
	return RuntimeDone{RequestID: id, Status: "success", Duration: 123500 * time.Microsecond}
}

func TestABatchIsReadAsFarAsItGoes(t *testing.T) {
	done := func(record string) string { return `{"type":"platform.runtimeDone","record":` + record + `}` }
	for name, tc := range map[string]struct {
		body string
		want []RuntimeDone
	}{
		"as Lambda sends it":             {batchOf("a", "b"), []RuntimeDone{endOf("a"), endOf("b")}},
		"nothing":                        {``, nil},
		"no events":                      {`[]`, nil},
		"no array":                       {done(`{"requestId":"a"}`), nil},
		"cut off":                        {batchOf("a")[:len(batchOf("a"))-1] + `,{"type":"platform.runt`, []RuntimeDone{endOf("a")}},
		"broken later":                   {`[` + done(`{"requestId":"a"}`) + `,]]` + done(`{"requestId":"b"}`), []RuntimeDone{{RequestID: "a"}}},
		"a log's record is no object":    {`[{"type":"function","record":"hello"},` + done(`{"requestId":"a"}`) + `]`, []RuntimeDone{{RequestID: "a"}}},
		"what is no event":               {`[7,null,"x",[],` + done(`{"requestId":"a"}`) + `]`, []RuntimeDone{{RequestID: "a"}}},
		"a duration that is no number":   {`[` + done(`{"requestId":"a","status":"timeout","metrics":{"durationMs":"x"}}`) + `]`, []RuntimeDone{{"a", "timeout", 0}}},
		"a duration before the start":    {`[` + done(`{"requestId":"a","metrics":{"durationMs":-5}}`) + `]`, []RuntimeDone{{"a", "", 0}}},
		"a duration that no handler has": {`[` + done(`{"requestId":"a","metrics":{"durationMs":1e300}}`) + `]`, []RuntimeDone{{"a", "", 15 * time.Minute}}},
		"no request":                     {`[` + done(`{"status":"success"}`) + `,` + done(`"x"`) + `,` + done(`null`) + `]`, nil},
		"the longest id":                 {`[` + done(`{"requestId":"`+strings.Repeat("x", 128)+`"}`) + `]`, []RuntimeDone{{RequestID: strings.Repeat("x", 128)}}},
		"an id that is none":             {`[` + done(`{"requestId":"`+strings.Repeat("x", 129)+`"}`) + `]`, nil},
	} {
		if got := runtimeDones(strings.NewReader(tc.body)); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

// Whatever comes is read without a panic and within bounds, and all of it where a plain reading succeeds.
func FuzzTelemetryBatch(f *testing.F) {
	f.Add([]byte(batchOf("a", "b")))
	f.Add([]byte(`[{"type":"function","record":"hello"},{"type":"platform.runtimeDone","record":{"requestId":"a","metrics":{"durationMs":1e300}}}]`))
	f.Add([]byte(`[{"type":"platform.runtimeDone","record":{"requestId":"a"}},`))
	f.Add([]byte(`[7,null,"x",[]]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := runtimeDones(bytes.NewReader(body))
		for _, done := range got {
			if done.RequestID == "" || len(done.RequestID) > longestID || done.Duration < 0 || done.Duration > longestRun {
				t.Errorf("out of bounds: %+v", done)
			}
		}
		var events []struct {
			Type   string
			Record struct {
				RequestID, Status string
				Metrics           struct{ DurationMS float64 }
			}
		}
		if json.Unmarshal(body, &events) != nil {
			return
		}
		var ids, want []string
		for _, event := range events {
			if id := event.Record.RequestID; event.Type == "platform.runtimeDone" && id != "" && len(id) <= longestID {
				want = append(want, id+event.Record.Status)
			}
		}
		for _, done := range got {
			ids = append(ids, done.RequestID+done.Status)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("read %q, want %q", ids, want)
		}
	})
}

func TestAnEndIsToldWheneverItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var telemetry Telemetry
		telemetry.setOn(true)
		telemetry.record([]RuntimeDone{endOf("before")})
		if got, err := telemetry.Wait(t.Context(), "before"); got != endOf("before") || err != nil {
			t.Errorf("one before: %+v, %v", got, err)
		}
		go func() {
			time.Sleep(time.Second)
			telemetry.record([]RuntimeDone{endOf("another")})
			time.Sleep(time.Second)
			telemetry.record([]RuntimeDone{endOf("yet another"), endOf("meanwhile")})
		}()
		begun := time.Now()
		if got, err := telemetry.Wait(t.Context(), "meanwhile"); got != endOf("meanwhile") || err != nil || time.Since(begun) != 2*time.Second {
			t.Errorf("one meanwhile: %+v, %v after %v", got, err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := telemetry.Wait(ctx, "never"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that never came: %v", err)
		}
	})
}

func TestOnlyTheLastEndsAreRememberedAndEachOnce(t *testing.T) {
	var telemetry Telemetry
	for i := range 20 {
		done := RuntimeDone{RequestID: fmt.Sprint(i), Duration: time.Duration(20-i) * time.Second}
		telemetry.record([]RuntimeDone{done})
		telemetry.record([]RuntimeDone{done, done})
	}
	if slowest, seen := telemetry.slowest(); slowest != 16*time.Second || seen != 20 || len(telemetry.last) != 16 {
		t.Errorf("the slowest of %d took %v, %d seen", len(telemetry.last), slowest, seen)
	}
	if _, err := telemetry.Wait(t.Context(), "3"); !errors.Is(err, ErrNoTelemetry) {
		t.Errorf("a forgotten one: %v", err)
	}
	if _, err := telemetry.Wait(t.Context(), "4"); err != nil {
		t.Errorf("the oldest that is remembered: %v", err)
	}
}

func TestWhoWaitsHearsThatTelemetryHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var telemetry Telemetry
		telemetry.setOn(true)
		waited := make(chan error, 1)
		go func() {
			_, err := telemetry.Wait(t.Context(), "never")
			waited <- err
		}()
		synctest.Wait()
		telemetry.setOn(false)
		if err := <-waited; !errors.Is(err, ErrNoTelemetry) {
			t.Error(err)
		}
	})
}

// destination is where the next subscription asks for deliveries.
func (l *lambda) destination(t *testing.T) (addr string) {
	t.Helper()
	var subscription struct{ Destination struct{ URI string } }
	if err := json.Unmarshal([]byte(<-l.subscribed), &subscription); err != nil {
		t.Fatal(err)
	}
	port, ok := strings.CutPrefix(subscription.Destination.URI, "http://sandbox.localdomain:")
	if !ok {
		t.Fatalf("Lambda is to deliver to %q", subscription.Destination.URI)
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// receiving runs an extension with telemetry, which is delivered to addr, until Lambda stops it.
func receiving(t *testing.T) (telemetry *Telemetry, addr string, stop func()) {
	t.Helper()
	l := newLambda(t)
	telemetry = &Telemetry{}
	e := l.register(t, Config{Telemetry: telemetry})
	ended := make(chan error, 1)
	go func() { ended <- e.Run(t.Context()) }()
	return telemetry, l.destination(t), func() {
		l.next <- shutdown
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// deliver sends a batch as Lambda does. It says whether the connection is kept for the next.
func deliver(t *testing.T, addr, body string) (status int, kept bool) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Post("http://"+addr, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, !resp.Close
}

func TestTelemetryIsAskedForAtItsQuickestAndOnlyOfThePlatform(t *testing.T) {
	l := newLambda(t, shutdown)
	if err := l.register(t, Config{Telemetry: &Telemetry{}}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(<-l.subscribed), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "destination")
	want := `{"buffering":{"maxBytes":262144,"maxItems":1000,"timeoutMs":25},"schemaVersion":"2022-12-13","types":["platform"]}`
	if b, _ := json.Marshal(got); string(b) != want {
		t.Errorf("asked for %s, want %s", b, want)
	}
}

func TestWhatIsDeliveredIsTakenWhateverItIs(t *testing.T) {
	telemetry, addr, stop := receiving(t)
	defer stop()
	for name, body := range map[string]string{
		"a batch": batchOf("a"), "nothing": "", "no JSON": "<html>", "cut off": batchOf("b") + "x",
		"too large": batchOf("c")[:len(batchOf("c"))-1] + "," + strings.Repeat(" ", mostBody) + batchOf("d")[1:],
	} {
		if status, kept := deliver(t, addr, body); status != http.StatusOK || kept {
			t.Errorf("%s: answered %d, the connection is kept: %v", name, status, kept)
		}
	}
	for _, id := range []string{"a", "b", "c"} {
		if got, err := telemetry.Wait(t.Context(), id); got != endOf(id) || err != nil {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
	if _, seen := telemetry.slowest(); seen != 3 {
		t.Errorf("%d were taken, want 3", seen)
	}
}

func TestOnlyAFewMayDeliverAtATimeAndShutdownWaitsForNone(t *testing.T) {
	telemetry, addr, stop := receiving(t)
	for range mostConns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil { // its body is asked for
			t.Fatal(err)
		}
	}
	one, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	if err := one.SetReadDeadline(time.Now().Add(requestTime / 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one too many was let in: %v", err)
	}
	begun := time.Now()
	stop()
	if took := time.Since(begun); took > requestTime/2 {
		t.Errorf("it took %v to end", took)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
	if _, err := telemetry.Wait(t.Context(), "x"); !errors.Is(err, ErrNoTelemetry) {
		t.Error(err)
	}
}

func TestNobodyOutsideTheSandboxCanDeliver(t *testing.T) {
	listener, err := listenSandbox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if ip := listener.Addr().(*net.TCPAddr).IP; ip.IsUnspecified() {
		t.Errorf("it listens on %v", ip)
	}
}

func TestADeliveryHasTwoSecondsAndAHeaderOfAFewKilobytes(t *testing.T) {
	t.Parallel()
	_, addr, stop := receiving(t)
	defer stop()
	for name, tc := range map[string]struct{ sent, want string }{
		"silence":        {"", ""},
		"a large header": {"POST / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "HTTP/1.1 431"},
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(5 * requestTime)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, tc.sent) // it may be refused before all of it is written
		answer := make([]byte, len(tc.want)+1)
		if n, err := io.ReadAtLeast(conn, answer, max(1, len(tc.want))); errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasPrefix(string(answer[:n]), tc.want) {
			t.Errorf("%s: got %q, %v", name, answer[:n], err)
		}
	}
}

func TestASubscriptionThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := scripted() // answers nothing
		begun := time.Now()
		if _, err := e.subscribe(t.Context()); !errors.Is(err, ErrNoTelemetry) || time.Since(begun) != requestTime {
			t.Errorf("it ended after %v: %v", time.Since(begun), err)
		}
	})
}

func TestWithoutTelemetryItGoesOn(t *testing.T) {
	for _, status := range []int{http.StatusAccepted, http.StatusBadRequest, http.StatusForbidden, http.StatusInternalServerError} {
		var log bytes.Buffer // read once Run has returned
		l := newLambda(t, invoke, shutdown)
		l.telemetry = status
		var telemetry Telemetry
		invoked := 0
		e := l.register(t, Config{
			Telemetry: &telemetry, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
			OnInvoke: func(ctx context.Context, event Event) {
				invoked++
				if _, err := telemetry.Wait(ctx, event.RequestID); !errors.Is(err, ErrNoTelemetry) {
					t.Errorf("%d: who waits gets %v", status, err)
				}
			},
		})
		if err := e.Run(t.Context()); err != nil || invoked != 1 {
			t.Errorf("%d: ended with %v after %d invocations", status, err, invoked)
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "no telemetry") {
			t.Errorf("%d: logged %q", status, got)
		}
		listener, err := e.subscribe(t.Context())
		if !errors.Is(err, ErrNoTelemetry) || listener != nil {
			t.Errorf("%d: subscribing brings %v", status, err)
		}
		for range 2 {
			if conn, err := net.Dial("tcp", l.destination(t)); err == nil {
				conn.Close()
				t.Errorf("%d: it listens all the same", status)
			}
		}
	}
}

func TestAReceiverThatCannotAcceptEndsTelemetryAndNothingElse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	var telemetry Telemetry
	if err := telemetry.serve(t.Context(), listener, slog.New(slog.DiscardHandler)); err == nil || errors.Is(err, http.ErrServerClosed) {
		t.Errorf("ended with %v", err)
	}
}
