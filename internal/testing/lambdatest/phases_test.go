package lambdatest

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func echo(_ context.Context, payload []byte) ([]byte, error) { return payload, nil }

func TestWhatIsNotReadyWhenInitIsOverIsKilled(t *testing.T) {
	h, _ := newHost(t, Config{InitTimeout: time.Second})
	p := startAs(t, h, "mute")
	want := Report{From: "hearth", Call: "killed", Type: "INIT took more than 1s"}
	if err := h.WaitReady(t.Context()); err == nil || !strings.Contains(err.Error(), want.Type) {
		t.Errorf("ready: %v", err)
	}
	<-p.Done()
	if got := h.Reports(); !slices.Equal(got, []Report{want}) {
		t.Errorf("reports: %+v", got)
	}
}

func TestARuntimeThatHangsOrEndsInInitIsTheEnd(t *testing.T) {
	for behaviour, want := range map[string]Report{
		"hang":  {From: "runtime", Call: "killed", Type: "INIT took more than 1s"},
		"crash": {From: "runtime", Call: "crash", Type: "exit status 3"},
	} {
		limit := time.Second
		if behaviour == "crash" { // however long that takes
			limit = time.Minute
		}
		h, _ := newHost(t, Config{Extensions: []string{}, InitTimeout: limit})
		p, err := h.StartBootstrap(t.Context(), os.Args[0], noLinger, "LAMBDATEST_EXTENSION="+behaviour)
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		if _, err := h.Invoke(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want.Type) {
			t.Errorf("%s: invoked: %v", behaviour, err)
		}
		if got := h.Reports(); !slices.Equal(got, []Report{want}) {
			t.Errorf("%s: reports: %+v", behaviour, got)
		}
	}
}

func TestAnExtensionWithoutARuntimeIsNotLate(t *testing.T) {
	const limit = time.Second
	h, _ := newHost(t, Config{InitTimeout: limit})
	p := startAs(t, h, "obedient")
	ready(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if _, err := h.Invoke(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("invoked without a runtime: %v", err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestInitAndInvocationsAreMeasured(t *testing.T) {
	h, ext := newHost(t, Config{Seed: 1})
	if h.Init().Duration != 0 {
		t.Error("INIT has ended before it began")
	}
	ext.register("hearth", "INVOKE")
	events := make(chan event)
	ask := make(chan struct{})
	go func() {
		for range ask {
			ev := ext.next()
			events <- ev
		}
	}()
	defer close(ask)
	rt := &caller{host: h.Addr()}
	answer := func() {
		_, header, payload := rt.call(t.Context(), "GET", runtimeAPI+"/invocation/next", "")
		rt.call(t.Context(), "POST", runtimeAPI+"/invocation/"+header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", payload)
	}
	go answer()
	ask <- struct{}{}
	if _, err := h.Invoke(t.Context(), []byte("1")); err != nil {
		t.Fatal(err)
	}
	init := h.Init()
	if init.Duration <= 0 || len(init.Extensions) != 1 || init.Extensions[0].Name != "hearth" ||
		init.Extensions[0].Next <= init.Extensions[0].Register || init.Duration < init.Extensions[0].Next {
		t.Errorf("INIT: %+v", init)
	}
	ev := <-events
	go answer()
	if got := h.Invocations(); len(got) != 0 {
		t.Errorf("ended while the extension is at work: %+v", got)
	}
	ask <- struct{}{}
	ready(t, h)
	got := h.Invocations()
	if len(got) != 1 || got[0].RequestID != ev.RequestID || got[0].Handler <= 0 || got[0].Added <= 0 {
		t.Errorf("invocations: %+v", got)
	}
	if _, err := h.Invoke(t.Context(), []byte("2")); err != nil {
		t.Fatal(err)
	}
	<-events
}

func TestWhoLearnsFirstOfAnInvocationIsRandomAndRepeatable(t *testing.T) {
	draw := func(seed uint64) (before []int) {
		h, _ := newHost(t, Config{Extensions: []string{"a", "b"}, Seed: seed})
		for _, name := range h.cfg.Extensions {
			(&caller{host: h.Addr()}).register(name, "INVOKE")
		}
		for range 50 {
			first, rest := h.orderLocked()
			if len(first)+len(rest) != 2 {
				t.Fatalf("%d and %d extensions", len(first), len(rest))
			}
			before = append(before, len(first))
		}
		return before
	}
	one := draw(1)
	if !slices.Equal(one, draw(1)) || slices.Equal(one, draw(2)) || slices.Equal(draw(0), draw(0)) {
		t.Error("the order does not depend on the seed alone")
	}
	for n := range 3 {
		if !slices.Contains(one, n) {
			t.Errorf("never did %d extensions learn of it first: %v", n, one)
		}
	}
}

func TestManagedInstancesRunSeveralInvocationsAtOnce(t *testing.T) {
	const n = 3
	h, _ := newHost(t, Config{Init: ManagedInstances, Concurrency: n})
	p := startAs(t, h, "environment", "LAMBDATEST_EVENTS=SHUTDOWN")
	var taken sync.WaitGroup
	taken.Add(n)
	for range n {
		go func() { // Each takes one, and answers once all have been taken.
			rt := &caller{host: h.Addr()}
			_, header, payload := rt.call(t.Context(), "GET", runtimeAPI+"/invocation/next", "")
			taken.Done()
			taken.Wait()
			rt.call(t.Context(), "POST", runtimeAPI+"/invocation/"+header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", payload)
		}()
	}
	results := make(chan string, n)
	for _, payload := range []string{"a", "b", "c"} {
		go func() {
			got, err := h.Invoke(t.Context(), []byte(payload))
			if err != nil || string(got) != payload {
				t.Errorf("%q: %q, %v", payload, got, err)
			}
			results <- payload
		}()
	}
	for range n {
		<-results
	}
	if got := h.Invocations(); len(got) != n || got[0].Added != 0 {
		t.Errorf("invocations: %+v", got)
	}
	if err := h.Freeze(); err == nil {
		t.Error("it can be frozen")
	}
	if err := p.Stop(t.Context()); err != nil { // Then its log is whole.
		t.Error(err)
	}
	if log := p.Log(); !strings.Contains(log, "AWS_LAMBDA_INITIALIZATION_TYPE=lambda-managed-instances\n") || strings.Contains(log, "AWS_LAMBDA_MAX_CONCURRENCY") {
		t.Errorf("environment:\n%s", log)
	}
}

func TestSnapStartHasItsCredentialsElsewhereAndRestoresASnapshot(t *testing.T) {
	h, c := newHost(t, Config{Init: SnapStart, MemoryMB: 512, Answer: echo})
	p := startAs(t, h, "environment")
	ready(t, h)
	for range 2 {
		if _, err := h.Invoke(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	log := p.Log()
	for _, want := range []string{
		"AWS_LAMBDA_INITIALIZATION_TYPE=snap-start\n", "AWS_CONTAINER_AUTHORIZATION_TOKEN=" + SessionToken + "\n", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512\n",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in the environment:\n%s", want, log)
		}
	}
	if strings.Contains(log, "AWS_SESSION_TOKEN") {
		t.Error("it has a session token")
	}
	_, rest, _ := strings.Cut(log, "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://"+h.Addr())
	path, _, _ := strings.Cut(rest, "\n")
	if status, _, body := c.call(t.Context(), "GET", path, "", "Authorization", SessionToken); status != 200 || !strings.Contains(body, `"AccessKeyId"`) {
		t.Errorf("credentials: %d %s", status, body)
	}
	if status, _, _ := c.call(t.Context(), "GET", path, ""); status != 403 {
		t.Errorf("credentials for anybody: %d", status)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
