package sidecar

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/client/wire"
	"hearth/internal/testing/weaviatetest"
)

const (
	chatMessages = "/v1/chats/a/messages"
	chatHistory  = "/v1/chats/a/history"
	batchPath    = "/v1/batch/objects"
)

// failing refuses each message whose content begins so, with a text that says whether it may have been stored.
func failingObjects(refused, unknown string) func(weaviatetest.Object) error {
	return func(o weaviatetest.Object) error {
		switch content, _ := o.Properties["content"].(string); {
		case strings.HasPrefix(content, refused):
			return errors.New("no room")
		case strings.HasPrefix(content, unknown):
			return errors.New("insert to vector index: lost")
		}
		return nil
	}
}

func TestWhatBecameOfAWriteDecidesWhatIsHeld(t *testing.T) {
	const key = "Idempotency-Key"
	for name, c := range map[string]struct {
		contents []string
		outcomes []wire.Outcome // empty: a 201, or no answer
		cut      bool           // no answer comes
		refuse   int            // Weaviate's answer to the batch; 0: its own

		kept, keyFree, retryable bool
	}{
		"stored":             {contents: []string{"a", "b"}, kept: true},
		"one refused":        {contents: []string{"a", "refused"}, outcomes: []wire.Outcome{"stored", "failed"}, kept: true},
		"one unknown":        {contents: []string{"a", "unknown"}, outcomes: []wire.Outcome{"stored", "unknown"}, retryable: true},
		"all refused":        {contents: []string{"refused", "refused"}, outcomes: []wire.Outcome{"failed", "failed"}, kept: true, keyFree: true},
		"refused or unknown": {contents: []string{"refused", "unknown"}, outcomes: []wire.Outcome{"failed", "unknown"}, retryable: true},
		"no answer":          {contents: []string{"a"}, cut: true, retryable: true},
		"refused as a whole": {contents: []string{"a"}, refuse: http.StatusForbidden, kept: true, keyFree: true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
			a.want(http.StatusCreated, http.MethodPost, chatMessages, `{"role":"user","content":"before"}`)
			if a.do(http.MethodGet, chatHistory, ""); !a.do(http.MethodGet, chatHistory, "").hit() {
				t.Fatal("the history is not held")
			}
			a.weaviate.SetFailBatch(failingObjects("refused", "unknown"))
			a.weaviate.SetHook(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == batchPath && c.cut {
					panic(http.ErrAbortHandler)
				}
				if r.URL.Path == batchPath && c.refuse != 0 {
					w.WriteHeader(c.refuse)
					return true
				}
				return false
			})
			body, unnamed, stored := "[", "[", []string{"before"}
			for i, content := range c.contents {
				body += fmt.Sprintf(`{"role":"user","content":%q},`, content)
				unnamed += fmt.Sprintf(`{"role":"user","content":%q,"id":"%d"},`, content, i)
				if content == "a" || content == "b" {
					stored = append(stored, content)
				}
			}
			body, unnamed = strings.TrimSuffix(body, ",")+"]", strings.TrimSuffix(unnamed, ",")+"]"
			got := a.do(http.MethodPost, chatMessages, body, key, "k")
			answered := !c.cut && c.refuse == 0
			if timed := got.header.Get("Server-Timing") != ""; timed != answered {
				t.Errorf("timed: %t, want %t", timed, answered)
			}
			if c.outcomes == nil && answered {
				if got.status != http.StatusCreated {
					t.Fatalf("%d %s", got.status, got.body)
				}
			} else {
				p := got.problem(t)
				if got.status != http.StatusBadGateway || p.Upstream != "weaviate" || p.Retryable != c.retryable {
					t.Errorf("%s", got.body)
				}
				var outcomes []wire.Outcome
				for _, item := range p.Items {
					outcomes = append(outcomes, item.Outcome)
					if item.Outcome == wire.OutcomeStored == (item.Detail != "") || item.ID == "" {
						t.Errorf("an item is %+v", item)
					}
				}
				if !slices.Equal(outcomes, c.outcomes) {
					t.Errorf("the outcomes are %v, want %v", outcomes, c.outcomes)
				}
			}
			if h := a.do(http.MethodGet, chatHistory, ""); h.hit() != c.kept {
				t.Errorf("held: %t, want %t", h.hit(), c.kept)
			} else if c.kept {
				var contents []string
				for _, m := range decoded[wire.History](t, h.body).AllMessages {
					contents = append(contents, m.Content)
				}
				if !c.keyFree && !slices.Equal(contents, stored) || c.keyFree && !slices.Equal(contents, stored[:1]) {
					t.Errorf("it holds %v, want %v", contents, stored)
				}
			}
			// The key stands for the body, unless nothing of it may have been stored.
			want := http.StatusUnprocessableEntity
			if c.keyFree {
				want = http.StatusCreated
			}
			a.weaviate.SetHook(nil)
			if got := a.do(http.MethodPost, chatMessages, `{"role":"user","content":"another"}`, key, "k"); got.status != want {
				t.Errorf("the key with another body is a %d %s, want %d", got.status, got.body, want)
			} else if want == http.StatusUnprocessableEntity && got.problem(t).Field != key {
				t.Errorf("%s", got.body)
			}
			if c.retryable { // as long as the messages or the request have a name
				a.weaviate.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path == batchPath && c.cut {
						panic(http.ErrAbortHandler)
					}
					return false
				})
				if p := a.do(http.MethodPost, chatMessages, body).problem(t); p.Retryable {
					t.Errorf("without a name it is to be sent again: %+v", p)
				}
				if p := a.do(http.MethodPost, chatMessages, unnamed).problem(t); !p.Retryable {
					t.Errorf("with ids it is not to be sent again: %+v", p)
				}
			}
		})
	}
}

func TestAKeyThatIsNoLongerRememberedOverwritesNothing(t *testing.T) {
	u := newUpstreams().withClasses("text", "text")
	write := func(a *api, body string) string {
		a.Helper()
		return decoded[wire.Appended](t, a.want(http.StatusCreated, http.MethodPost, chatMessages, body, "Idempotency-Key", "k").body).IDs[0]
	}
	const one, two = `{"role":"user","content":"one"}`, `{"role":"user","content":"two"}`
	here := newAPI(t, u, nil)
	first := write(here, one)
	elsewhere := newAPI(t, u, nil) // which knows nothing of the key
	if other := write(elsewhere, two); other == first {
		t.Errorf("another body has the same id %s", other)
	}
	if again := write(newAPI(t, u, nil), one); again != first {
		t.Errorf("the same body has the id %s, not %s", again, first)
	}
	named := `{"role":"user","content":"named","id":"name"}`
	byName := decoded[wire.Appended](t, here.want(http.StatusCreated, http.MethodPost, chatMessages, named).body).IDs[0]
	withKey := decoded[wire.Appended](t, here.want(http.StatusCreated, http.MethodPost, chatMessages, named, "Idempotency-Key", "other").body).IDs[0]
	if byName != withKey {
		t.Errorf("a message with an id is %s, with a key %s", byName, withKey)
	}
}

func TestARepeatedWriteKeepsItsTimes(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	times := func() (all []time.Time) {
		for _, m := range decoded[wire.History](t, a.want(http.StatusOK, http.MethodGet, chatHistory, "", "Cache-Control", "no-cache").body).AllMessages {
			all = append(all, m.CreatedAt)
		}
		return all
	}
	const body = `[{"role":"user","content":"one"},{"role":"user","content":"two"}]`
	a.want(http.StatusCreated, http.MethodPost, chatMessages, body, "Idempotency-Key", "k")
	first := times()
	a.want(http.StatusCreated, http.MethodPost, chatMessages, body, "Idempotency-Key", "k")
	if again := times(); len(first) != 2 || !slices.Equal(first, again) {
		t.Errorf("the times were %v and are %v", first, again)
	}
}

func TestTimesAreInUTC(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	a.do(http.MethodGet, chatHistory, "") // the window is held
	a.want(http.StatusCreated, http.MethodPost, chatMessages, `{"role":"user","content":"x","created_at":"2026-01-01T12:00:00+02:00"}`)
	if got := a.do(http.MethodGet, chatHistory, ""); !got.hit() || !strings.Contains(got.body, `"created_at":"2026-01-01T10:00:00Z"`) {
		t.Errorf("%s %s", got.header.Get("Cache-Status"), got.body)
	}
	const until = `{"muted":true,"until":"2100-01-01T10:00:00Z"}`
	for range 2 {
		if got := a.want(http.StatusOK, http.MethodPut, "/v1/chats/a/mute", `{"muted":true,"until":"2100-01-01T12:00:00+02:00"}`); got.body != until {
			t.Errorf("%s", got.body)
		}
	}
	if got := a.want(http.StatusOK, http.MethodGet, "/v1/chats/a/mute", ""); !got.hit() || got.body != until {
		t.Errorf("%s %s", got.header.Get("Cache-Status"), got.body)
	}
}

func TestTimesAreThoseThatTheClassHolds(t *testing.T) {
	u := newUpstreams()
	u.weaviate.MustAddClass(`{"class":"Message","properties":[{"name":"chat_id","dataType":["text"],"tokenization":"field"},{"name":"role","dataType":["text"],"tokenization":"field"},` +
		`{"name":"content","dataType":["text"]},{"name":"created_at","dataType":["int"]}]}`)
	a := newAPI(t, u, nil)
	a.do(http.MethodGet, chatHistory, "") // the window is held
	message := func(at string) string { return `{"role":"user","content":"x","created_at":"` + at + `"}` }
	a.want(http.StatusCreated, http.MethodPost, chatMessages, message("2026-01-01T10:00:00.123456Z"))
	for _, control := range []string{"", "no-cache"} {
		if got := a.want(http.StatusOK, http.MethodGet, chatHistory, "", "Cache-Control", control); !strings.Contains(got.body, `"created_at":"2026-01-01T10:00:00.123Z"`) {
			t.Errorf("%q: %s", control, got.body)
		}
	}
	const never = "1970-01-02T00:00:00Z" // in milliseconds it would be taken for seconds
	a.refuses("created_at", http.MethodPost, chatMessages, message(never))
	a.refuses("[1].created_at", http.MethodPost, chatMessages, "["+message("2026-01-01T10:00:00Z")+","+message(never)+"]")
}

func TestAMuteThatHasEndedIsNone(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	for body, want := range map[string]string{
		`{"muted":true,"until":"2001-01-01T00:00:00Z"}`: `{"muted":false}`,
		`{"muted":true}`:  `{"muted":true}`,
		`{"muted":false}`: `{"muted":false}`,
	} {
		if got := a.want(http.StatusOK, http.MethodPut, "/v1/chats/a/mute", body); got.body != want {
			t.Errorf("%s is %s", body, got.body)
		}
		for _, control := range []string{"", "no-cache"} {
			if got := a.want(http.StatusOK, http.MethodGet, "/v1/chats/a/mute", "", "Cache-Control", control); got.body != want {
				t.Errorf("%s is read as %s", body, got.body)
			}
		}
	}
}

func TestAMutesWritesWaitForEachOther(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	came, release := make(chan struct{}, 1), make(chan struct{})
	var writes atomic.Int32
	a.weaviate.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == batchPath || r.Method == http.MethodPatch {
			if writes.Add(1) == 1 {
				came <- struct{}{}
				<-release
			}
		}
		return false
	})
	first := make(chan answer, 1)
	go func() { first <- a.do(http.MethodPut, "/v1/chats/a/mute", `{"muted":true}`) }()
	<-came
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	second := a.server.newRequest(ctx, &fasthttp.RequestCtx{}, false)
	defer a.server.release(second)
	second.chat = []byte("a")
	second.body.WriteString(`{"muted":false}`)
	if err := a.server.setMute(second); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside another write it is %v: %s", err, second.Response.Body())
	}
	if n := writes.Load(); n != 1 {
		t.Errorf("%d writes are under way", n)
	}
	close(release)
	if got := <-first; got.status != http.StatusOK {
		t.Errorf("the first write is a %d %s", got.status, got.body)
	}
	a.want(http.StatusOK, http.MethodPut, "/v1/chats/a/mute", `{"muted":false}`)
	if got := a.want(http.StatusOK, http.MethodGet, "/v1/chats/a/mute", "", "Cache-Control", "no-cache"); got.body != `{"muted":false}` {
		t.Errorf("%s", got.body)
	}
}

func TestAMuteOfUnknownOutcomeMayBeSetAgain(t *testing.T) {
	a := newAPI(t, newUpstreams().withClasses("text", "text"), nil)
	if a.do(http.MethodGet, "/v1/chats/a/mute", ""); !a.do(http.MethodGet, "/v1/chats/a/mute", "").hit() {
		t.Fatal("the mute is not held")
	}
	a.weaviate.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == batchPath {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	if p := a.want(http.StatusBadGateway, http.MethodPut, "/v1/chats/a/mute", `{"muted":true}`).problem(t); p.Kind() != wire.KindUnknownOutcome || !p.Retryable {
		t.Errorf("it is %+v", p)
	}
	if got := a.want(http.StatusOK, http.MethodGet, "/v1/chats/a/mute", ""); got.hit() {
		t.Errorf("what may be wrong is still held: %s", got.body)
	}
}
