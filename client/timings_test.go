package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"sync"
	"testing"
	"time"
)

func TestTimingsAreSentOnceForEachInvocation(t *testing.T) {
	s := &sidecar{}
	timed(t, s, func(ctx context.Context, c *Client, out *output) {
		ctx, end := c.Invocation(ctx, "r1")
		got, err := Timed(ctx, "lambda_handler_total", func(ctx context.Context) (int, error) {
			step(ctx, "step", 523*time.Millisecond)
			inner, innerEnd := c.Invocation(ctx, "r1")
			step(inner, "step", 2*time.Millisecond)
			innerEnd()
			return 7, io.EOF
		})
		if got != 7 || !errors.Is(err, io.EOF) {
			t.Errorf("%d, %v", got, err)
		}
		time.Sleep(time.Millisecond)
		if len(s.sent) > 0 {
			t.Error("timings were sent before the invocation's end")
		}
		end()
		end()
		want := []Timings{{RequestID: "r1", FunctionMS: new(526.0), Timings: []Timing{
			{Operation: "step", DurationMS: 523},
			{Operation: "step", DurationMS: 2},
			{Operation: "lambda_handler_total", DurationMS: 525, Error: "*errors.errorString"},
		}}}
		if !reflect.DeepEqual(s.sent, want) {
			t.Errorf("%+v", s.sent)
		}
		timings, others := out.lines(t)
		wantLines := []map[string]any{
			{"level": "INFO", "operation": "step", "duration_ms": 523.0, "request_id": "r1"},
			{"level": "INFO", "operation": "step", "duration_ms": 2.0, "request_id": "r1"},
			{"level": "INFO", "operation": "lambda_handler_total", "duration_ms": 525.0, "request_id": "r1", "error": "*errors.errorString"},
		}
		if !reflect.DeepEqual(timings, wantLines) || others != nil {
			t.Errorf("%v\n%v", timings, others)
		}
		if out.writes[0] != "[TIMING] step: 0.523s\n" {
			t.Errorf("%q", out.writes[0])
		}
		_, end = c.Invocation(t.Context(), "r2")
		end() // nothing was measured
		if len(s.sent) != 1 {
			t.Errorf("%+v", s.sent)
		}
	})
}

func TestInvocationsAtTheSameTimeDoNotMix(t *testing.T) {
	s := &sidecar{}
	timed(t, s, func(ctx context.Context, c *Client, _ *output) {
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				id := fmt.Sprint("r", i)
				ctx, end := c.Invocation(ctx, id)
				defer end()
				var steps sync.WaitGroup
				for range 10 {
					steps.Go(func() { step(ctx, id, time.Millisecond) })
				}
				steps.Wait()
			})
		}
		all.Wait()
		for _, sent := range s.sent {
			for _, timing := range sent.Timings {
				if len(sent.Timings) != 10 || timing.Operation != sent.RequestID {
					t.Errorf("%+v", sent)
				}
			}
		}
		if len(s.sent) != 5 {
			t.Errorf("%d invocations", len(s.sent))
		}
	})
}

func TestTimingsThatCouldNotBeSentAreTold(t *testing.T) {
	fail := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) }
	silent := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client leaves
		<-r.Context().Done()
	}
	for name, refuse := range map[string]http.HandlerFunc{"refused": fail, "silent": silent} {
		t.Run(name, func(t *testing.T) {
			timed(t, &sidecar{refuse: refuse}, func(ctx context.Context, c *Client, out *output) {
				invoke := func() {
					ctx, end := c.Invocation(ctx, "")
					step(ctx, "a", 0)
					step(ctx, "b", 0)
					began := time.Now()
					end()
					if took := time.Since(began); took > timingsTimeout {
						t.Errorf("sending took %v", took)
					}
				}
				invoke()
				invoke()
				_, told := out.lines(t)
				if len(told) != 1 || told[0]["timings"] != 2.0 || told[0]["level"] != "WARN" || told[0]["message"] == nil || told[0]["error"] == "" {
					t.Errorf("%v", told)
				}
				time.Sleep(time.Minute)
				invoke()
				if _, told = out.lines(t); len(told) != 2 || told[1]["timings"] != 4.0 {
					t.Errorf("%v", told)
				}
			})
		})
	}
}

func TestAnInvocationSendsAHundredTimingsAtMost(t *testing.T) {
	s := &sidecar{}
	timed(t, s, func(ctx context.Context, c *Client, out *output) {
		ctx, end := c.Invocation(ctx, "r")
		for i := range 150 {
			step(ctx, fmt.Sprint(i), 0)
		}
		step(ctx, "last", 0)
		end()
		sent := s.sent[0].Timings
		if len(sent) != 100 || sent[98].Operation != "98" || sent[99].Operation != "last" {
			t.Errorf("%d: %v", len(sent), sent[98:])
		}
		timings, told := out.lines(t)
		if len(timings) != 151 || len(told) != 1 || told[0]["timings"] != 51.0 {
			t.Errorf("%d lines, %v", len(timings), told)
		}
		step(ctx, "late", 0)
		time.Sleep(time.Minute)
		step(ctx, "later", 0)
		if _, told := out.lines(t); len(told) != 2 || told[1]["timings"] != 2.0 || told[1]["error"] != "the operation later ended after its invocation" {
			t.Errorf("%v", told)
		}
	})
}

func TestTimingsAreSentThoughTheContextHasEnded(t *testing.T) {
	s := &sidecar{}
	timed(t, s, func(ctx context.Context, c *Client, _ *output) {
		ctx, cancel := context.WithCancel(ctx)
		ctx, end := c.Invocation(ctx, "r")
		step(ctx, "a", 0)
		cancel()
		end()
		if len(s.sent) != 1 {
			t.Errorf("%v", s.sent)
		}
	})
}
