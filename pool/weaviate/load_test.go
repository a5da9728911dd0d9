package weaviate

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/client/wire"
	"hearth/pool"
)

func TestCallersThatGiveUpOnTheSchemaLeaveNothingBehind(t *testing.T) {
	var asked atomic.Int64
	began, answer := make(chan struct{}, 1), make(chan struct{})
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		began <- struct{}{}
		<-answer
		_, _ = io.WriteString(w, ownSchema+"}")
	}), testConfig())
	var held sync.WaitGroup
	held.Go(func() {
		if _, err := c.MessageChat(t.Context(), "a"); err != nil {
			t.Errorf("a caller that waits is told %v", err)
		}
	})
	<-began
	goroutines := runtime.NumGoroutine()
	heap := heapInUse()
	for range 5_000 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.MessageChat(ctx, "a")
		if e, ok := errors.AsType[*pool.Error](err); !ok || !errors.Is(err, context.Canceled) || e.Sent {
			t.Fatalf("a caller that gives up is told %v", err)
		}
	}
	if n := runtime.NumGoroutine(); n > goroutines+5 {
		t.Errorf("%d goroutines became %d", goroutines, n)
	}
	if grown := heapInUse() - heap; grown > 1<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	close(answer)
	held.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("the schema was asked for %d times", n)
	}
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestASchemaThatWasHiddenIsAskedForAgain(t *testing.T) {
	var asked, hidden atomic.Int64
	hidden.Store(1)
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) <= hidden.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, ownSchema+`,"vectorizer":"text2vec-x"}`)
	}), testConfig())
	learn := func(times int64, vectorizer bool) time.Duration {
		t.Helper()
		class, err := c.message.load(t.Context())
		if err != nil || class.vectorizer != vectorizer || class.hidden == vectorizer || asked.Load() != times {
			t.Fatalf("%v: %+v, asked for %d times", err, class, asked.Load())
		}
		c.message.mu.Lock()
		defer c.message.mu.Unlock()
		return time.Until(c.message.until)
	}
	passes := func() {
		c.message.mu.Lock()
		defer c.message.mu.Unlock()
		c.message.until = time.Now()
	}
	learn(1, false)
	if wait := learn(1, false); wait <= 0 || wait > time.Second {
		t.Errorf("it is asked for again after %v", wait)
	}
	passes()
	learn(2, true)
	passes()
	learn(2, true)

	c.message.forget(c.message.peek())
	hidden.Store(20)
	last := time.Duration(0)
	for n := range int64(10) {
		wait := learn(3+n, false)
		if wait < last || wait > mostUnsettled {
			t.Errorf("after %d times it is asked for again after %v, before that after %v", n+1, wait, last)
		}
		last = wait - 100*time.Millisecond // the clock goes on
		passes()
	}
	if last < mostUnsettled/2 {
		t.Errorf("at last it is asked for again after %v", last)
	}
}

func TestAFaultOfAClassIsForgottenOnceItIsMended(t *testing.T) {
	var schema atomic.Value
	schema.Store(strings.Replace(ownSchema, "created_at", "other", 1) + "}")
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, schema.Load().(string))
	}), testConfig())
	if _, err := c.MessageChat(t.Context(), "a"); err == nil {
		t.Fatal("a class without the property of the time is served")
	}
	schema.Store(ownSchema + "}")
	c.message.mu.Lock()
	if wait := time.Until(c.message.until); wait <= 0 || wait > time.Second {
		t.Errorf("it is asked for again after %v", wait)
	}
	c.message.until = time.Now()
	c.message.mu.Unlock()
	if _, err := c.MessageChat(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

func TestThatAClassIsMissingIsHeldForSeconds(t *testing.T) {
	var asked atomic.Int64
	var exists atomic.Bool
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if exists.Load() {
			_, _ = io.WriteString(w, ownSchema+"}")
			return
		}
		if r.URL.Path == "/v1/schema/Message" {
			asked.Add(1)
		}
		w.WriteHeader(http.StatusNotFound)
	}), testConfig())
	missing := func(times int64) {
		t.Helper()
		_, err := c.MessageChat(t.Context(), "a")
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusNotFound || asked.Load() != times {
			t.Fatalf("%v, asked for %d times, want %d", err, asked.Load(), times)
		}
	}
	missing(1)
	missing(1)
	c.AskAgainIfMissing()
	missing(2)
	c.message.mu.Lock()
	if wait := time.Until(c.message.until); wait <= 0 || wait > missingFor {
		t.Errorf("it is asked for again after %v", wait)
	}
	c.message.until = time.Now()
	c.message.mu.Unlock()
	missing(3)
	exists.Store(true)
	missing(3)
	c.AskAgainIfMissing()
	if _, err := c.MessageChat(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

func TestAHiddenClassIsServedThoughItCannotBeAskedForAgain(t *testing.T) {
	status := http.StatusForbidden
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }), testConfig())
	for _, s := range []struct{ status, want int }{{http.StatusForbidden, 0}, {http.StatusBadGateway, 0}, {http.StatusNotFound, http.StatusNotFound}} {
		status = s.status
		_, err := c.MessageChat(t.Context(), "a")
		if e, ok := errors.AsType[*Error](err); ok != (s.want != 0) || ok && e.Status != s.want {
			t.Errorf("where the schema is answered by %d: %v", s.status, err)
		}
		c.message.mu.Lock()
		c.message.until = time.Now()
		c.message.mu.Unlock()
	}
}

func TestAnAliasIsFollowedWhereItLeads(t *testing.T) {
	cfg := testConfig()
	x := newTester(t, cfg)
	cfg.Message.Class, cfg.Mute.Class = "Message2", "ChatStatus2"
	if _, err := clientOf(t, x.server, cfg).CreateClasses(t.Context()); err != nil {
		t.Fatal(err)
	}
	send := func(method, path, body string) {
		t.Helper()
		w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		x.server.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	send(http.MethodPost, "/v1/aliases", `{"alias":"Messages","class":"Message"}`)
	send(http.MethodPost, "/v1/aliases", `{"alias":"Mutes","class":"ChatStatus"}`)
	cfg.Message.Class, cfg.Mute.Class = "Messages", "Mutes"
	x.Client = clientOf(t, x.server, cfg)
	x.write("a", "user", 3, time.Second)
	mute := func(muted bool) {
		t.Helper()
		if err := x.SetMute(t.Context(), "a", wire.Mute{Muted: muted}, "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"); err != nil {
			t.Fatal(err)
		}
	}
	mute(true)

	send(http.MethodPut, "/v1/aliases/Messages", `{"class":"Message2"}`)
	send(http.MethodPut, "/v1/aliases/Mutes", `{"class":"ChatStatus2"}`)
	if n := len(x.recent("a", 10).Messages); n != 0 {
		t.Errorf("%d messages of the class that the alias has left are read", n)
	}
	if m, err := x.Mute(t.Context(), "a"); err != nil || m.ID != "" {
		t.Errorf("the mute of the class that the alias has left is read: %+v, %v", m, err)
	}
	x.write("a", "user", 1, time.Second)
	mute(true)
	mute(false)
	cfg.Message.Class, cfg.Mute.Class = "Message2", "ChatStatus2"
	x.Client = clientOf(t, x.server, cfg)
	if n := len(x.recent("a", 10).Messages); n != 1 {
		t.Errorf("the class that the alias has come to stand for has %d messages", n)
	}
	if m, err := x.Mute(t.Context(), "a"); err != nil || m.ID == "" || m.Muted {
		t.Errorf("and its mute is %+v, %v", m, err)
	}
}

// A server before 1.36 shows a class under its own name only.
func TestTheClassOfAnAliasIsAskedForWhereTheAliasIsNotShown(t *testing.T) {
	for name, c := range map[string]struct {
		status int    // of the question what the alias stands for
		answer string // to it
		class  string // of what is learned; empty: there is none
	}{
		"an alias":             {http.StatusOK, `{"alias":"Messages","class":"Message"}`, "Message"},
		"none":                 {http.StatusNotFound, `{"class":"Message"}`, ""},
		"a server without any": {http.StatusOK, `<html>`, ""},
		"an alias of nothing":  {http.StatusOK, `{}`, ""},
		"no answer":            {0, "", ""},
	} {
		cfg := testConfig()
		cfg.Message.Class = "Messages"
		client := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/v1/schema/Message":
				_, _ = io.WriteString(w, ownSchema+"}")
			case "/v1/aliases/Messages":
				if c.status == 0 {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.answer)
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		}), cfg)
		class, err := client.message.load(t.Context())
		if c.class == "" {
			if e, ok := errors.AsType[*Error](err); !ok || e.Status != 404 || e.Message != "class Messages does not exist: set HEARTH_MESSAGE_CLASS to one that does, or create it with `hearth schema`" || e.Retryable() {
				t.Errorf("%s: %+v, %v", name, class, err)
			}
			continue
		}
		if err != nil || class.name != c.class {
			t.Errorf("%s: %+v, %v", name, class, err)
		}
	}
	words := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "no such page")
	}), testConfig())
	if _, err := words.message.load(t.Context()); err == nil || !strings.Contains(err.Error(), "no such page") {
		t.Errorf("the words of a 404 are lost: %v", err)
	}
}

// What a class was known to be holds while there is no answer, and not against one.
func TestWhatWasKnownHoldsWhileThereIsNoAnswer(t *testing.T) {
	var status atomic.Int64 // 0: no answer
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer := int(status.Load())
		if answer == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(answer)
	}), testConfig())
	for _, s := range []struct {
		status int64
		holds  bool
	}{{403, true}, {0, true}, {500, true}, {503, true}, {429, true}, {400, false}, {501, false}, {422, false}} {
		status.Store(s.status)
		c.message.mu.Lock()
		c.message.until = time.Now()
		c.message.mu.Unlock()
		if class, err := c.message.load(t.Context()); (err == nil) != s.holds || s.holds && !class.hidden {
			t.Errorf("after %d: %+v, %v", s.status, class, err)
		}
	}
}

func TestAClassThatIsSettledIsAskedForAtOnceOnceItIsNot(t *testing.T) {
	hidden := false
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if hidden {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, ownSchema+"}")
	}), testConfig())
	wait := func(want time.Duration) {
		t.Helper()
		c.message.forget(c.message.peek())
		if _, err := c.message.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := time.Until(c.message.until).Round(time.Second); hidden && got != want {
			t.Errorf("it is asked for again after %v, want %v", got, want)
		}
	}
	hidden = true
	wait(time.Second)
	wait(2 * time.Second)
	hidden = false
	wait(0)
	hidden = true
	wait(time.Second)
	for _, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		wait(want * time.Second)
	}
	for range 70 { // no shift is too far
		wait(mostUnsettled)
	}
	old := c.message.peek()
	c.message.forget(&classInfo{})
	if c.message.peek() != old {
		t.Error("a class is forgotten that another has taken the place of")
	}
}

func TestTheSchemaIsLearnedThoughItsCallerLeaves(t *testing.T) {
	began, answer := make(chan struct{}), make(chan struct{})
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-answer
		_, _ = io.WriteString(w, ownSchema+"}")
	}), testConfig())
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := c.MessageChat(ctx, "a")
		left <- err
	}()
	<-began
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that left is told %v", err)
	}
	close(answer)
	c.Close()
	if c.message.peek() == nil {
		t.Error("nothing was learned")
	}
}

func TestLearningTellsOfAFailure(t *testing.T) {
	for _, path := range []string{"/v1/schema/Message", "/v1/schema/ChatStatus"} {
		c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, ownSchema+"}")
		}), testConfig())
		if err := c.LoadClasses(t.Context()); err == nil {
			t.Errorf("%s fails, and Learn does not", path)
		}
	}
}
