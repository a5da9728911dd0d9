package contract

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"hearth/client"
	"hearth/internal/testing/lambdatest"
)

//go:embed testdata/reader.py
var readerPy []byte

// RunHandlers loads chats without Hearth and compares every reply that handlers get through the extension with what was
// loaded: through both clients, and by both sample handlers, which write as well. The samples run as they do in AWS's emulator, in both of
// its modes.
func RunHandlers(t *testing.T, bin string, u Upstreams, chats, messages int) {
	s := newSuite(t, bin, u)
	begun := time.Now()
	loaded := s.load(t, chats, messages)
	t.Logf("loaded %d chats of %d messages in %v", chats, messages, time.Since(begun).Round(time.Millisecond))
	root := moduleRoot(t)
	t.Run("a Python handler reads what was loaded", func(t *testing.T) { s.pythonReads(t, root, loaded) })
	t.Run("a Go handler reads what was loaded", func(t *testing.T) { s.goReads(t, loaded) })
	t.Run("the Python sample remembers what was loaded and what it said", func(t *testing.T) {
		host, _, h := s.extension(t, lambdatest.Config{Handler: "handler.handler", Platform: lambdatest.Emulator})
		startPython(t, host, h, root, filepath.Join(root, "examples", "python"))
		s.talkToSample(t, host, loaded, 0, func(text string) string { return "'" + text + "'" })
	})
	t.Run("the Go sample remembers what was loaded and what it said", func(t *testing.T) {
		host, _, h := s.extension(t, lambdatest.Config{Platform: lambdatest.Emulator, Init: lambdatest.ManagedInstances})
		startGo(t, host, h, root)
		s.talkToSample(t, host, loaded, 2, func(text string) string { return fmt.Sprintf("%q", text) })
	})
}

// chat is one chat as it was loaded.
type chat struct {
	id    string
	book  book
	found []string // contents that hold the word "needle"
	muted bool
}

// load writes chats straight into Weaviate. Some of their ids differ in one character only.
func (s *suite) load(t *testing.T, chats, messages int) []chat {
	t.Helper()
	loaded := make([]chat, chats)
	for i := range loaded {
		c := &loaded[i]
		c.id = fmt.Sprintf([]string{"%d-1", "1-%d", "chat/%d/..", "Ünïcode „%d“ 👩‍👩‍👧", "c%%2F%d"}[i%5], i)
		c.muted = i%7 == 3
		var objects []object
		for j := range messages {
			m := client.Message{
				ID: uuid.NewString(), Role: side(i + j), CreatedAt: instant(time.Duration(j/2) * time.Second),
				Content: fmt.Sprintf("message %d of chat number%d", j, i),
			}
			if j%33 == 10 {
				m.Content = "a needle, " + m.Content
				c.found = append(c.found, m.Content)
			}
			if j%10 == 9 {
				m.Content += strings.Repeat(" 👩‍👩‍👧‍👦", 150)
			}
			c.book = append(c.book, m)
			objects = append(objects, messageObject(s.messageClass, m.ID, c.id, m.Role, m.Content, m.CreatedAt))
		}
		slices.Sort(c.found)
		s.weaviate.insert(t, objects...)
		if c.muted {
			s.weaviate.insert(t, object{Class: s.muteClass, ID: uuid.NewString(), Properties: map[string]any{"chat_id": c.id, "muted": true}})
		}
	}
	return loaded
}

// history is the reply to a handler that asks for n messages with 3 in full.
func (c chat) history(n int) client.History {
	h := c.book.history(c.id, n, len(c.book))
	for i := range max(0, len(h.MsgHistory)-3) {
		if head, tail, long := strings.Cut(h.MsgHistory[i].Content, " 👩‍👩‍👧‍👦"); long {
			family := (len(tail) + len(" 👩‍👩‍👧‍👦")) / len(" 👩‍👩‍👧‍👦")
			if most := 200 - len(head); 2*family > most { // a space and a family are two clusters; a head is of letters only
				cut := strings.Repeat(" 👩‍👩‍👧‍👦", most/2) + strings.Repeat(" ", most%2)
				h.MsgHistory[i].Content = head + cut + "…"
			}
		}
	}
	return h
}

func (c chat) checkFound(got []client.ScoredMessage, count int) error {
	contents := scoredContents(got)
	slices.Sort(contents)
	for _, content := range contents {
		if !slices.Contains(c.found, content) {
			return fmt.Errorf("%q is not to the point in chat %q", content, c.id)
		}
	}
	if len(slices.Compact(contents)) != min(count, len(c.found)) {
		return fmt.Errorf("%d messages are relevant in chat %q, want %d", len(contents), c.id, min(count, len(c.found)))
	}
	return nil
}

func (s *suite) pythonReads(t *testing.T, root string, loaded []chat) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "reader.py"), readerPy, 0o600); err != nil {
		t.Fatal(err)
	}
	host, _, h := s.extension(t, lambdatest.Config{Handler: "reader.handler"})
	startPython(t, host, h, root, dir)
	for i, c := range loaded {
		route, n := []string{"chat", "odoo_erp"}[i%2], []int{10, 3, 200}[i%3]
		answer := invoke(t, host, map[string]any{"chat_id": c.id, "text": "needle", "route_name": route, "num_messages": n})
		var got struct {
			History       client.History         `json:"history"`
			Relevant      []client.ScoredMessage `json:"relevant"`
			Preprocessing struct {
				MuteStatus       []bool                  `json:"mute_status"`
				OdooModels       map[string]client.Model `json:"odoo_models"`
				RelevantMessages []client.ScoredMessage  `json:"relevant_messages"`
				Errors           map[string]string       `json:"errors"`
			} `json:"preprocessing"`
		}
		if err := json.Unmarshal(answer, &got); err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
		if expected := c.history(n); !reflect.DeepEqual(got.History, expected) {
			t.Fatalf("chat %q: history is\n%+v\nwant\n%+v", c.id, got.History, expected)
		}
		if err := c.checkFound(got.Relevant, 100); err != nil {
			t.Error(err)
		}
		p := got.Preprocessing
		if err := c.checkFound(p.RelevantMessages, 2); err != nil {
			t.Errorf("preprocessing: %v", err)
		}
		if models := len(p.OdooModels["res.partner"].Fields) > 0; !slices.Equal(p.MuteStatus, []bool{c.muted}) || p.Errors != nil || models != (route == "odoo_erp") {
			t.Errorf("chat %q: mute %v, want %t; models %t on route %s; errors %v", c.id, p.MuteStatus, c.muted, models, route, p.Errors)
		}
	}
}

// goReads asks as a handler in Go would that serves several invocations, here 8 at a time.
func (s *suite) goReads(t *testing.T, loaded []chat) {
	_, _, h := s.extension(t, lambdatest.Config{})
	c, err := client.New(client.Config{Socket: h.socket, Token: h.token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var hits atomic.Int64
	var g errgroup.Group
	g.SetLimit(8)
	for i, chat := range loaded {
		g.Go(func() error {
			n := []int{200, 10, 3}[i%3]
			got, err := c.Preprocess(t.Context(), client.PreprocessRequest{
				ChatID: chat.id, Text: "needle", RouteName: "odoo_erp", RelevantCount: 100, EnableOdoo: true, NumMessages: n, FullTextLen: new(3),
			})
			if err != nil {
				return fmt.Errorf("chat %q: %w", chat.id, err)
			}
			if expected := chat.history(n); !reflect.DeepEqual(*got.History, expected) || got.ChatID != chat.id {
				return fmt.Errorf("chat %q: history is\n%+v\nwant\n%+v", chat.id, *got.History, expected)
			}
			if got.Errors != nil || got.MuteStatus.Muted != chat.muted || len(got.OdooModels["res.partner"].Fields) == 0 {
				return fmt.Errorf("chat %q: mute %v, want %t; errors %v", chat.id, got.MuteStatus, chat.muted, got.Errors)
			}
			var header http.Header
			again, err := c.History(t.Context(), chat.id, n, 3, client.WithReply(&header))
			if err != nil || !reflect.DeepEqual(*again, *got.History) {
				return fmt.Errorf("chat %q: asked again, history is %+v, %w", chat.id, again, err)
			}
			if strings.HasPrefix(header.Get("Cache-Status"), "hearth; hit") {
				hits.Add(1)
			}
			return chat.checkFound(got.RelevantMessages, 100)
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d second reads were hits", hits.Load(), len(loaded))
	if hits.Load() == 0 {
		t.Error("none of the second reads was a hit")
	}
}

// sampleReply is the result of the sample handlers.
type sampleReply struct {
	Reply   string
	Muted   bool
	History int
	Saved   bool
}

// talkToSample has two turns in every chat with a sample handler, which answers how many messages it remembers. said is how
// many turns there were before. The word that it searches for is in the text and in its answer.
func (s *suite) talkToSample(t *testing.T, host *lambdatest.Host, loaded []chat, said int, quote func(string) string) {
	t.Helper()
	for _, c := range loaded {
		for turn := said; turn < said+2; turn++ {
			text := "needle"
			answer := string(invoke(t, host, map[string]any{"chat_id": c.id, "text": text, "route_name": "odoo_erp"}))
			var got sampleReply
			if err := json.Unmarshal([]byte(answer), &got); err != nil {
				t.Fatalf("%v: %s", err, answer)
			}
			if c.muted {
				if !got.Muted || got.Reply != "" || got.Saved {
					t.Errorf("chat %q is muted, and the sample answers %s", c.id, answer)
				}
				continue
			}
			most := len(c.book.history(c.id, 10, 0).AllMessages) // of both roles
			remembered, found := min(most+2*turn, 20), min(len(c.found)+2*turn, 5)
			expected := fmt.Sprintf("You said %s. I remember %d messages, %d of them to the point.", quote(text), remembered, found)
			if got.Muted || !got.Saved || got.History != remembered || got.Reply != expected {
				t.Fatalf("chat %q, turn %d: the sample answers %s, want %q", c.id, turn, answer, expected)
			}
		}
	}
	for i, c := range loaded { // what it said is stored, and what was loaded is as it was
		if c.muted || i%10 != 0 {
			continue
		}
		got := s.common.history(t, c.id, 200, "Cache-Control", "no-cache").AllMessages
		if n := len(c.book); len(got) != n+2*(said+2) || !slices.Equal(got[:n], c.book.sorted()) || got[n].Content != "needle" {
			t.Errorf("chat %q has %d messages after %d turns on %d", c.id, len(got), said+2, n)
		}
	}
}

func invoke(t testing.TB, host *lambdatest.Host, event any) []byte {
	t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := host.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatalf("invoke with %s: %v", payload, err)
	}
	return answer
}

func startPython(t *testing.T, host *lambdatest.Host, h *hearth, root, dir string) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip(err)
	}
	p, err := host.StartRuntime(t.Context(), dir, "PYTHONPATH="+filepath.Join(root, "client", "python"), "PYTHONDONTWRITEBYTECODE=1", "HEARTH_SOCKET="+h.socket)
	ofTest(t, p, err)
}

func startGo(t *testing.T, host *lambdatest.Host, h *hearth, root string, env ...string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".")
	build.Dir = filepath.Join(root, "examples", "go")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	p, err := host.StartBootstrap(t.Context(), bin, append([]string{"HEARTH_SOCKET=" + h.socket}, env...)...)
	ofTest(t, p, err)
}

// ofTest waits in the cleanup for a handler that the test's context ends.
func ofTest(t *testing.T, p *lambdatest.Process, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		<-p.Done()
		if t.Failed() {
			t.Logf("the handler's log:\n%s", p.Log())
		}
	})
}
