package app

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/emf"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

func TestTheMetricsOfEachInvocationAreWritten(t *testing.T) {
	w := weaviatetest.New()
	w.MustAddClass(`{"class":"Message","properties":[{"name":"chat_id","dataType":["text"],"tokenization":"field"},{"name":"role","dataType":["text"],"tokenization":"field"},` +
		`{"name":"content","dataType":["text"]},{"name":"created_at","dataType":["date"]}]}`)
	upstream, err := testnet.Serve(w, testnet.Config{HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upstream.Close() })
	env := []string{"HEARTH_WEAVIATE_URL=" + upstream.URL, "HEARTH_WEAVIATE_GRPC_URL=" + upstream.URL}
	ask := func(p *process, method, path, body, root string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Amzn-Trace-Id", "Root="+root)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %d", method, path, resp.StatusCode)
		}
	}
	run := func(env ...string) (documents []emf.Document) {
		t.Helper()
		p := serving(t, env...)
		for _, root := range []string{"1-a", "1-b", "1-c"} {
			ask(p, http.MethodGet, "/v1/chats/c/history", "", root)
			if root == "1-b" {
				ask(p, http.MethodPost, wire.PathTimings, `{"request_id":"r","timings":[{"operation":"lambda_handler_total","duration_ms":5}]}`, root)
			}
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.exited
		for line := range strings.Lines(p.log.String()) {
			if emf.Is(line) {
				d, err := emf.Parse(line)
				if err != nil {
					t.Errorf("%s: %v", line, err)
				}
				documents = append(documents, d)
			}
		}
		return documents
	}
	if got := run(env...); got != nil {
		t.Errorf("outside Lambda there are documents: %v", got)
	}
	got := ""
	var dials float64
	for _, d := range run(append(env, "AWS_LAMBDA_FUNCTION_NAME=my-function")...) {
		got += fmt.Sprintln(d.Properties["trace_root"], d.Properties["late"], d.Dimensions["FunctionName"], d.Metrics["hits"].Values, d.Metrics["misses"].Values,
			d.Metrics["cold_start"].Values, len(d.Metrics["hearth.history_duration"].Values), d.Metrics["lambda_handler_total_duration"].Values)
		dials += d.Metrics["dials"].Values[0]
	}
	want := "1-a true my-function [0] [1] [1] 1 []\n1-b <nil> my-function [1] [0] [0] 1 [5]\n1-c true my-function [1] [0] [0] 1 []\n"
	if got != want || dials == 0 {
		t.Errorf("%swant\n%s%v dials", got, want, dials)
	}
}

// stopped is an output that takes nothing until it is released.
type stopped struct{ release chan struct{} }

func (s stopped) Write(b []byte) (int, error) {
	<-s.release
	return len(b), nil
}

func TestFlushWaitsForTheOutputButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := stopped{make(chan struct{})}
		q := newLogQueue(out, maxPending)
		fmt.Fprintln(q, "a document")
		takes := func(want time.Duration) {
			t.Helper()
			began := time.Now()
			if q.Flush(); time.Since(began) != want {
				t.Errorf("it took %v, want %v", time.Since(began), want)
			}
		}
		takes(flushTime)
		fmt.Fprintln(q, "another one")
		takes(0) // the output has had its time
		out.release <- struct{}{}
		synctest.Wait()
		time.AfterFunc(flushTime/2, func() { close(out.release) })
		takes(flushTime / 2)
		q.close()
		q.Flush() // and nothing after the end
	})
}
