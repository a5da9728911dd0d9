package contract

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/client"
)

// book is the plainest model of a timeline: all messages that a chat should have.
type book []client.Message

// sorted is in the order (created_at in UTC, user before assistant, id).
func (b book) sorted() book {
	b = slices.Clone(b)
	slices.SortFunc(b, func(x, y client.Message) int {
		return cmp.Or(x.CreatedAt.Compare(y.CreatedAt), -cmp.Compare(x.Role, y.Role), strings.Compare(x.ID, y.ID))
	})
	return b
}

// newest of a role in a sorted book.
func (b book) newest(role string, n int) []client.Message {
	of := slices.DeleteFunc(slices.Clone(b), func(m client.Message) bool { return m.Role != role })
	return append([]client.Message{}, of[max(0, len(of)-n):]...)
}

// history is the reply that the API's table describes. Messages longer than the preview have a test of their own.
func (b book) history(chat string, n, full int) client.History {
	b = b.sorted()
	h := client.History{ChatID: chat, UserMessages: b.newest("user", n), AssistantMessages: b.newest("assistant", n)}
	h.AllMessages = append([]client.Message{}, book(slices.Concat(h.UserMessages, h.AssistantMessages)).sorted()...)
	h.MsgHistory = []client.PromptMessage{}
	for i, m := range h.AllMessages {
		content := []rune(m.Content)
		if i < len(h.AllMessages)-full && len(content) > 200 {
			content = append(content[:200:200], '…')
		}
		h.MsgHistory = append(h.MsgHistory, client.PromptMessage{Role: m.Role, Content: string(content)})
	}
	return h
}

// record writes messages through h, and adds them with the ids that they were given.
func (b *book) record(t testing.TB, h *hearth, chat string, messages ...client.NewMessage) {
	t.Helper()
	for some := range slices.Chunk(messages, 100) {
		for i, id := range h.write(t, chat, some...) {
			m := client.Message{ID: id, Role: some[i].Role, Content: some[i].Content, CreatedAt: some[i].CreatedAt.UTC()}
			if at := slices.IndexFunc(*b, func(m client.Message) bool { return m.ID == id }); at >= 0 {
				(*b)[at] = m
			} else {
				*b = append(*b, m)
			}
		}
	}
}

// check compares a history with the model, byte by byte.
func (b book) check(t testing.TB, who string, h *hearth, chat string, n, full int, headers ...string) reply {
	t.Helper()
	r := h.get(t, historyPath(chat, n, full), headers...)
	var x bytes.Buffer
	e := json.NewEncoder(&x)
	e.SetEscapeHTML(false)
	if err := e.Encode(b.history(chat, n, full)); err != nil {
		t.Fatal(err)
	}
	if r.status != http.StatusOK || string(r.body)+"\n" != x.String() {
		t.Fatalf("%s: history of %d with %d in full of %d messages is\n%.3000s\nwant\n%.3000s", who, n, full, len(b), r.body, x.Bytes())
	}
	return r
}

func (s *suite) order(t *testing.T) {
	t.Run("no messages are an empty history", func(t *testing.T) {
		r := book{}.check(t, "an unknown chat", s.common, "never used", 10, 5)
		const text = `{"chat_id":"never used","msg_history":[],"all_messages":[],"user_messages":[],"assistant_messages":[]}`
		if string(r.body) != text {
			t.Errorf("the reply is %s, want %s", r.body, text)
		}
	})
	t.Run("equal times stand user first, then by id", s.equalTimes)
	t.Run("times are compared in UTC and to the nanosecond", s.exactTimes)
	t.Run("every num_messages is cut right from windows of any size", s.everySize)
	t.Run("random writes are read in order whatever is held", s.randomWrites)
	t.Run("a message without created_at comes last", s.withoutTime)
}

func (s *suite) equalTimes(t *testing.T) {
	var b book
	chat := "equal times"
	for range 40 {
		b.record(t, s.common, chat, client.NewMessage{Role: "assistant", Content: "a", CreatedAt: instant(0)},
			client.NewMessage{Role: "user", Content: "u", CreatedAt: instant(0)})
	}
	b.record(t, s.common, chat, client.NewMessage{Role: "user", Content: "older", CreatedAt: instant(-time.Second)},
		client.NewMessage{Role: "user", Content: "newer", CreatedAt: instant(time.Second)})
	small := s.start(t, "HEARTH_TIMELINE_WINDOW=1")
	for _, n := range []int{1, 2, 5, 10, 39, 40, 41, 42, 200} {
		b.check(t, "the writer", s.common, chat, n, 5)
		b.check(t, "a small window", small, chat, n, 5)
		b.check(t, "a small window, loaded anew", small, chat, n, 5, "Cache-Control", "no-cache")
	}
}

func (s *suite) exactTimes(t *testing.T) {
	var b book
	chat := "exact times"
	at := instant(123456789)
	for i, zone := range []int{0, 14 * 3600, -12 * 3600, 5*3600 + 1800, 0} {
		moment := at.Add(time.Duration((i*7)%5) * time.Nanosecond).In(time.FixedZone("", zone))
		b.record(t, s.common, chat, client.NewMessage{Role: "user", Content: strconv.Itoa(i), CreatedAt: moment})
	}
	raw := s.common.post(t, chatPath(chat, "messages"), `{"role":"user","content":"with an offset","created_at":"2024-02-29T23:30:00.5+11:30","id":"o"}`)
	id := want[client.Appended](t, raw, http.StatusCreated).IDs[0]
	b = append(b, client.Message{ID: id, Role: "user", Content: "with an offset", CreatedAt: instant(500 * time.Millisecond)})
	for _, year := range []int{1700, 1969, 1970, 2250} {
		b.record(t, s.common, chat, client.NewMessage{Role: "user", Content: strconv.Itoa(year), CreatedAt: time.Date(year, 12, 31, 23, 59, 59, 999999999, time.UTC)})
	}
	small := s.start(t, "HEARTH_TIMELINE_WINDOW=1")
	for n := range 12 {
		b.check(t, "the writer", s.common, chat, n+1, 5)
		b.check(t, "a small window", small, chat, n+1, 5)
		b.check(t, "a small window, loaded anew", small, chat, n+1, 5, "Cache-Control", "no-cache")
	}
}

func (s *suite) everySize(t *testing.T) {
	var b book
	chat := "every size"
	var messages []client.NewMessage
	for i := range 230 { // fewer of the assistant's: one window is complete before the other
		at := instant(time.Duration(i/3) * time.Second) // three at a time
		messages = append(messages, client.NewMessage{Role: "user", Content: strings.Repeat("u", i+1), CreatedAt: at})
		if i%3 == 0 {
			messages = append(messages, client.NewMessage{Role: "assistant", Content: strings.Repeat("ä", 3*i+1), CreatedAt: at})
		}
	}
	b.record(t, s.common, chat, messages...)
	up, down := s.start(t, "HEARTH_TTL_HISTORY=1h"), s.start(t, "HEARTH_TTL_HISTORY=1h", "HEARTH_TIMELINE_WINDOW=7")
	step := 1
	if raceDetector {
		step = 5
	}
	for n := 1; n <= 200; n += step {
		b.check(t, "growing", up, chat, n, n%7)
	}
	b.check(t, "growing", up, chat, 200, 7)
	if !cached(t, b.check(t, "growing", up, chat, 150, 200)).hit {
		t.Error("150 messages were not cut from 200 held")
	}
	for n := 200; n >= 1; n-- {
		if r := b.check(t, "shrinking", down, chat, n, n%5); cached(t, r).hit != (n < 200) {
			t.Fatalf("%d messages: %s", n, r.header.Get("Cache-Status"))
		}
	}
}

func (s *suite) randomWrites(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's dice
	readers := []*hearth{
		s.start(t, "HEARTH_TTL_HISTORY=1h", "HEARTH_TIMELINE_WINDOW=4"),
		s.start(t, "HEARTH_TTL_HISTORY=1h", "HEARTH_TIMELINE_WINDOW=1000"),
	}
	for round := range 2 {
		chat := "random " + strconv.Itoa(round)
		writer := readers[round] // what it holds is changed by its writes; a cold reader loads
		var b book
		for range 30 {
			var some []client.NewMessage
			for range 1 + random.IntN(6) {
				some = append(some, client.NewMessage{
					Role:      []string{"user", "assistant", "system"}[random.IntN(3)],
					Content:   strings.Repeat("é", random.IntN(400)),
					CreatedAt: instant(time.Duration(random.IntN(20)) * time.Second),
					ID:        strconv.Itoa(random.IntN(1000)),
				})
			}
			slices.SortFunc(some, func(x, y client.NewMessage) int { return strings.Compare(x.ID, y.ID) })
			some = slices.CompactFunc(some, func(x, y client.NewMessage) bool { return x.ID == y.ID })
			b.record(t, writer, chat, some...)
			n := 1 + random.IntN(30)
			b.check(t, "the writer", writer, chat, n, random.IntN(n+1))
			b.check(t, "another, loaded anew", readers[1-round], chat, n, 5, "Cache-Control", "no-cache")
		}
	}
}

func (s *suite) withoutTime(t *testing.T) {
	chat := "without time"
	h := s.start(t)
	future := time.Now().UTC().Add(time.Hour).Truncate(time.Millisecond)
	h.write(t, chat, client.NewMessage{Role: "assistant", Content: "from the future", CreatedAt: future})
	h.say(t, chat, "user", "one")
	h.say(t, chat, "assistant", "two")
	h.say(t, chat, "user", "three")
	got := h.history(t, chat, 10).AllMessages
	wantContents(t, "history", contents(got), []string{"from the future", "one", "two", "three"})
	for i, m := range got[1:] {
		if m.CreatedAt.Sub(got[i].CreatedAt) < time.Millisecond {
			t.Errorf("%q comes %v after %q", m.Content, m.CreatedAt.Sub(got[i].CreatedAt), got[i].Content)
		}
	}
	before := time.Now()
	h.say(t, chat+" 2", "user", "now")
	at := h.history(t, chat+" 2", 1).AllMessages[0].CreatedAt
	if at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("a message without created_at was dated %v, not now", at)
	}
}
