package insights

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/emf"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lambdatest"
)

// What the sample handlers measure arrives whatever the function logs in, and what Python's logging logs at INFO does not.
func TestInsightsFindsTheSampleHandlersTimings(t *testing.T) {
	root, err := lab.Root(t.Context())
	must(t, err)
	hearth, bootstrap := filepath.Join(t.TempDir(), "hearth"), filepath.Join(t.TempDir(), "bootstrap")
	must(t, lab.Build(t.Context(), root, hearth))
	must(t, lab.BuildGoHandler(t.Context(), root, bootstrap))
	python := lab.PythonRuntime(filepath.Join(root, "internal", "testing", "insights", "testdata"),
		filepath.Join(root, "client", "python"), filepath.Join(root, "examples", "python"))
	const turns = 6
	for _, h := range []handler{
		{lab.Python, Text, python, []string{"lambda_handler_total", "model", "parallel_message_history", "parallel_preprocessing"}},
		{lab.Python, JSON, python, []string{"lambda_handler_total", "model", "parallel_message_history", "parallel_preprocessing"}},
		{lab.Go, JSON, lab.GoRuntime(bootstrap), []string{"lambda_handler_total", "parallel_preprocessing"}},
	} {
		t.Run(string(h.language)+" "+string(h.format), func(t *testing.T) {
			if h.language == lab.Python && exec.CommandContext(t.Context(), "python3", "--version").Run() != nil {
				t.Skip("no python3")
			}
			r := newRun(t, hearth, h)
			for i := range turns {
				r.turn(lab.ChatID(i))
			}
			r.close()
			r.check(turns)
		})
	}
}

// handler is a sample handler, with what it measures in each turn. The one in Python also measures "model", which took 1500 ms.
type handler struct {
	language   lab.Language
	format     Format
	runtime    lab.Runtime
	operations []string
}

// run is a handler in a sandbox.
type run struct {
	*testing.T
	handler
	sandbox *lab.Sandbox
	began   time.Time
	closed  bool
}

func newRun(t *testing.T, hearth string, h handler) *run {
	r := &run{T: t, handler: h, began: time.Now()}
	upstreams, err := lab.StartUpstreams(t.TempDir(), lab.UpstreamsConfig{})
	must(t, err)
	t.Cleanup(func() { must(t, upstreams.Close()) })
	must(t, lab.MakeClasses(t.Context(), hearth, upstreams.Settings()))
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	r.sandbox, err = lab.Start(ctx, lab.SandboxConfig{
		Host:      lambdatest.Config{Handler: "logged.handler", Timeout: time.Minute},
		Extension: hearth, Settings: upstreams.Settings(), Socket: filepath.Join(shortDir(t), "s"),
		Runtime: func(ctx context.Context, host *lambdatest.Host, env ...string) (*lambdatest.Process, error) {
			return h.runtime(ctx, host, append(env, "AWS_LAMBDA_LOG_FORMAT="+string(h.format))...)
		},
	})
	must(t, err)
	t.Cleanup(r.close)
	return r
}

func (r *run) turn(chat string) {
	var reply lab.Reply
	must(r.T, r.sandbox.Invoke(r.Context(), lab.Turn{ChatID: chat, Text: "Hello", Route: lab.OdooRoute}, &reply))
	if !reply.Saved {
		r.Errorf("the turn was not saved%s", r.sandbox.Logs())
	}
}

// close ends the sandbox, so that its log is complete. A second call does nothing.
func (r *run) close() {
	if !r.closed {
		r.closed = true
		_, err := r.sandbox.Close(context.WithoutCancel(r.Context()))
		must(r.T, err)
		<-r.sandbox.Runtime.Done()
	}
}

// check runs the queries of the documentation over the handler's log.
func (r *run) check(turns int) {
	rows := Read(r.sandbox.Runtime.Log(), r.format)
	means := rows.MeanBy("duration_ms", "operation")
	for _, operation := range r.operations {
		if m := means[operation]; m.Count != turns || m.Average <= 0 {
			r.Errorf("%s has %+v after %d turns", operation, m, turns)
		}
		people := 0
		for _, row := range rows {
			if strings.HasPrefix(row.Text("@message"), "[TIMING] "+operation+": ") {
				people++
			}
		}
		if people != turns {
			r.Errorf("%s has %d lines for people", operation, people)
		}
	}
	if len(means) != len(r.operations) {
		r.Errorf("the operations are %v", means)
	}

	slow := rows.Above("duration_ms", 1000).Where("operation", "model")
	if r.language == lab.Python && (len(slow) != turns || slow[0]["tokens"] != 7.0) {
		r.Errorf("slow operations: %v", slow)
	}

	total := 0
	for at, m := range rows.Where("operation", "lambda_handler_total").MeanByTime("duration_ms", 5*time.Minute) {
		begin, err := time.Parse(time.RFC3339, at)
		if err != nil || begin.Add(5*time.Minute).Before(r.began.Truncate(time.Millisecond)) || begin.After(time.Now()) {
			r.Errorf("5 minutes from %s", at)
		}
		total += m.Count
	}
	if total != turns {
		r.Errorf("the averages of 5 minutes count %d", total)
	}

	requests := map[string]bool{}
	for _, row := range rows.Where("operation", "parallel_preprocessing") {
		requests[row.Text("request_id")] = true
		if row.Text("cache."+wire.PartMute) == "" || row.Text("chat") == "" || row.Text("level") != "INFO" {
			r.Errorf("%v", row)
		}
	}
	if len(requests) != turns {
		r.Errorf("the requests are %v", requests)
	}
	r.checkMetrics(requests)
	if r.Failed() {
		r.Log(r.sandbox.Logs())
	}
}

// checkMetrics compares what the handler sent with what Hearth wrote of it: one document for each invocation, in time.
func (r *run) checkMetrics(requests map[string]bool) {
	documents := 0
	for line := range strings.Lines(r.sandbox.Extension.Log()) {
		if !emf.Is(line) {
			continue
		}
		documents++
		d, err := emf.Parse(line)
		if err != nil {
			r.Errorf("%s: %v", line, err)
		}
		if d.Properties["late"] != nil || !requests[fmt.Sprint(d.Properties["request_id"])] {
			r.Errorf("%s: it is late, or of another invocation", line)
		}
		for _, operation := range append([]string{"hearth.preprocess"}, r.operations...) {
			if operation == "model" {
				continue // it is measured before the sample handler begins, and so is not sent
			}
			if m := d.Metrics[operation+"_duration"]; len(m.Values) != 1 {
				r.Errorf("%s: %s has %+v", line, operation, m)
			}
		}
	}
	if documents != len(requests) {
		r.Errorf("%d documents for %d invocations", documents, len(requests))
	}
}

// shortDir makes a folder for a socket, whose path must be short.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "hearth") //nolint:usetesting // t.TempDir is too long
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
