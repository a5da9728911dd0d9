package extension

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/sparse"
	"hearth/internal/testing/lambdatest"
)

// script is an Extensions API without a wire: its answers to /next one after another, and when they were asked for.
type script struct {
	answers []string // a body; "": no connection; "300", "500": that status
	asked   []time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, time.Now())
	if len(s.asked) > len(s.answers) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	body, status := s.answers[len(s.asked)-1], http.StatusOK
	switch body {
	case "":
		return nil, errors.New("connection refused")
	case "500":
		body, status = invoke, http.StatusInternalServerError // whatever it says, it is no event
	case "300":
		body, status = invoke, http.StatusMultipleChoices
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// pauses are the times between one question and the next.
func (s *script) pauses() (p []time.Duration) {
	for i := range len(s.asked) - 1 {
		p = append(p, s.asked[i+1].Sub(s.asked[i]))
	}
	return p
}

func scripted(answers ...string) (*Extension, *script) {
	s := &script{answers: answers}
	return &Extension{
		cfg:  Config{RuntimeAPI: "127.0.0.1:9001", Logger: slog.New(slog.DiscardHandler)},
		http: &http.Client{Transport: s}, identifier: "id", failures: sparse.New(nil),
	}, s
}

const (
	invoke   = `{"eventType":"INVOKE","deadlineMs":1784000000123,"requestId":"1"}`
	shutdown = `{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":1784000000123}`
)

func TestAFailingNextIsAskedLessAndLessOften(t *testing.T) {
	for name, tc := range map[string]struct {
		answers []string
		want    []time.Duration // in milliseconds
	}{
		"nobody answers":                  {[]string{"", "", "", "", shutdown}, []time.Duration{10, 20, 40, 80}},
		"whatever fails":                  {[]string{"500", "no JSON", "", "300", shutdown}, []time.Duration{10, 20, 40, 80}},
		"up to 1s":                        {[]string{"", "", "", "", "", "", "", "", "", shutdown}, []time.Duration{10, 20, 40, 80, 160, 320, 640, 1000, 1000}},
		"an event without a type is none": {[]string{"{}", `{"eventType":""}`, "null", `{"eventType":7}`, `[]`, shutdown}, []time.Duration{10, 20, 40, 80, 160}},
		"an event is a new beginning": {
			[]string{"", "", invoke, "", "", shutdown}, []time.Duration{10, 20, 0, 10, 20},
		},
		"events are asked for at once": {[]string{invoke, invoke, `{"eventType":"SOMETHING NEW"}`, shutdown}, []time.Duration{0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, s := scripted(tc.answers...)
				if err := e.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				want := make([]time.Duration, len(tc.want))
				for i, ms := range tc.want {
					want[i] = ms * time.Millisecond
				}
				if got := s.pauses(); !slices.Equal(got, want) {
					t.Errorf("waited %v, want %v", got, want)
				}
			})
		})
	}
}

func TestItEndsAtOnceWhereverItIsWhenItsContextEnds(t *testing.T) {
	why := errors.New("why")
	for name, tc := range map[string]struct {
		answers []string
		lines   int // of failures: the first, and how many more
	}{
		"in /next":                    {nil, 0},
		"after events":                {[]string{invoke, invoke}, 0},
		"while it waits to ask again": {make([]string, 20), 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, _ := scripted(tc.answers...)
				var log bytes.Buffer // read once Run has returned
				e.failures = sparse.New(slog.New(slog.NewTextHandler(&log, nil)))
				ctx, cancel := context.WithCancelCause(t.Context())
				done := make(chan error, 1)
				begun := time.Now()
				go func() { done <- e.Run(ctx) }()
				time.Sleep(7 * time.Second)
				cancel(why)
				if err := <-done; !errors.Is(err, why) {
					t.Errorf("ended with %v", err)
				}
				if took := time.Since(begun); took != 7*time.Second {
					t.Errorf("ended after %v", took)
				}
				if got := strings.Count(log.String(), "GET /event/next failed, retrying"); got != tc.lines {
					t.Errorf("%d lines tell of failures, want %d:\n%s", got, tc.lines, log.String())
				}
			})
		})
	}
}

func TestItSaysOnceThatTheFirstEventHasBeenAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, lambdas := net.Pipe()
		dialed := make(chan struct{})
		said := 0 // read once all else waits
		e, _ := scripted()
		e.http.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			<-dialed
			return ours, nil
		}}
		e.cfg.OnWaiting = func() { said++ }
		ended := make(chan error, 1)
		go func() { ended <- e.Run(t.Context()) }()
		synctest.Wait()
		if said != 0 {
			t.Error("it says so before there is a connection")
		}
		close(dialed)
		questions := bufio.NewReader(lambdas)
		for _, event := range []string{invoke, shutdown} {
			if _, err := http.ReadRequest(questions); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if said != 1 {
				t.Errorf("it has said so %d times", said)
			}
			fmt.Fprintf(lambdas, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(event), event)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		e.http.CloseIdleConnections()
	})
}

func TestAnEventIsReadWhole(t *testing.T) {
	e, _ := scripted(invoke, shutdown)
	for _, want := range []Event{
		{Type: "INVOKE", RequestID: "1", DeadlineMS: 1784000000123},
		{Type: "SHUTDOWN", ShutdownReason: "spindown", DeadlineMS: 1784000000123},
	} {
		if got, err := e.next(t.Context()); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestAnAnswerIsReadUpToABound(t *testing.T) {
	padding := strings.Repeat("x", 1<<20)
	e, _ := scripted(`{"eventType":"INVOKE","padding":"`+padding[:len(padding)-100]+`"}`, `{"eventType":"INVOKE","padding":"`+padding+`"}`)
	if event, err := e.next(t.Context()); err != nil || event.Type != "INVOKE" {
		t.Errorf("a large event brings %+v, %v", event, err)
	}
	if event, err := e.next(t.Context()); err == nil {
		t.Errorf("one without an end brings %+v", event)
	}
	e.http.Transport = refusing{padding}
	if err := e.InitError(t.Context(), "Hearth.Config", errors.New("reason")); err == nil || len(err.Error()) > 300 || !strings.Contains(err.Error(), "403: xxx") {
		t.Errorf("a refusal is %.400v", err)
	}
}

// refusing answers 403 with a body.
type refusing struct{ body string }

func (r refusing) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusForbidden, Body: io.NopCloser(strings.NewReader(r.body))}, nil
}

func TestWhatElseAnEventSaysDoesNotHideIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := scripted(
			`{"eventType":"INVOKE","deadlineMs":1784000000123.5,"requestId":"1"}`, `{"deadlineMs":"soon","requestId":2,"eventType":"INVOKE"}`,
			`{"eventType":"SHUTDOWN","deadlineMs":1.5,"shutdownReason":["spindown"]}`,
		)
		var got []Event
		e.cfg.OnInvoke = func(_ context.Context, event Event) { got = append(got, event) }
		if err := e.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []Event{{Type: "INVOKE", RequestID: "1"}, {Type: "INVOKE"}}; !slices.Equal(got, want) {
			t.Errorf("got %+v", got)
		}
		if p := s.pauses(); !slices.Equal(p, []time.Duration{0, 0}) {
			t.Errorf("waited %v", p)
		}
	})
}

func TestASandboxShutsItDownForAnyReason(t *testing.T) {
	for _, tc := range []struct {
		reason string
		events []string
		cfg    lambdatest.Config
	}{
		{"spindown", nil, lambdatest.Config{}},
		{"SPINDOWN", nil, lambdatest.Config{Init: lambdatest.ManagedInstances}},
		{"FAILURE", nil, lambdatest.Config{Init: lambdatest.SnapStart}},
		{"", nil, lambdatest.Config{Init: lambdatest.ProvisionedConcurrency}},
		{"Timeout", []string{"INVOKE"}, lambdatest.Config{Platform: lambdatest.Emulator}},
		{"ReleaseFail", nil, lambdatest.Config{Platform: lambdatest.Emulator}},
		{"SandboxTerminated", nil, lambdatest.Config{Platform: lambdatest.Emulator}},
		{"failure", nil, lambdatest.Config{Platform: lambdatest.Emulator, Init: lambdatest.ManagedInstances}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			tc.cfg.Answer = func(_ context.Context, payload []byte) ([]byte, error) { return payload, nil }
			host, err := lambdatest.New(tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(host.Close)
			var log bytes.Buffer // read once Run has returned
			e, err := registered(t.Context(), Config{
				RuntimeAPI: host.Addr(), Name: "hearth", Events: tc.events, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(e.http.CloseIdleConnections)
			if got := host.Registered(); !slices.Equal(got, []string{"hearth"}) {
				t.Errorf("registered as %v", got)
			}
			done := make(chan error, 1)
			go func() { done <- e.Run(t.Context()) }()
			for range 2 {
				if got, err := host.Invoke(t.Context(), []byte("ping")); err != nil || string(got) != "ping" {
					t.Fatalf("an invocation brought %q, %v", got, err)
				}
			}
			if err := host.Shutdown(t.Context(), tc.reason); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Errorf("ended with %v", err)
			}
			if !strings.Contains(log.String(), "shutting down") || !strings.Contains(log.String(), tc.reason) {
				t.Errorf("logged %q", log.String())
			}
			if reports := host.Reports(); len(reports) != 0 {
				t.Errorf("Lambda was told %v", reports)
			}
		})
	}
}

// Lambda refuses a report without its type in the header.
func TestAReportReachesLambdaWhole(t *testing.T) {
	host, err := lambdatest.New(lambdatest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	e, err := registered(t.Context(), Config{RuntimeAPI: host.Addr(), Name: "hearth"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.http.CloseIdleConnections)
	if err := e.InitError(t.Context(), "Hearth.Config", errors.New(`"quoted"`)); err != nil {
		t.Fatal(err)
	}
	want := []lambdatest.Report{
		{From: "hearth", Call: "init/error", Type: "Hearth.Config", Body: `{"errorMessage":"\"quoted\"","errorType":"Hearth.Config","stackTrace":[]}`},
	}
	if got := host.Reports(); !slices.Equal(got, want) {
		t.Errorf("Lambda was told\n%q, want\n%q", got, want)
	}
}
