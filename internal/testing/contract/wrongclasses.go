package contract

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"hearth/client"
)

// classTypes are the types of the properties of a class of messages and of one of mutes, by their names. text:field
// is a text with a tokenization, and :no after any type means that no index finds rows by the property.
type classTypes struct{ message, mute map[string]string }

func plainTypes() classTypes {
	return classTypes{
		map[string]string{"session_id": "text:field", "sender": "text", "message": "text", "timestamp": "date"},
		map[string]string{"session_id": "text:field", "silent": "boolean", "silent_until": "date"},
	}
}

// makeClassesOf makes classes and returns their names and Hearth's settings for them.
func (s *suite) makeClassesOf(t *testing.T, name string, p classTypes, vectors map[string]any) (message, mute string, env []string) {
	t.Helper()
	message, mute = s.messageClass+"_P"+name, s.muteClass+"_P"+name
	for class, types := range map[string]map[string]string{message: p.message, mute: p.mute} {
		var properties []any
		for _, property := range slices.Sorted(maps.Keys(types)) {
			kind, tokenization, _ := strings.Cut(types[property], ":")
			o := map[string]any{"name": property, "dataType": []string{kind}}
			switch {
			case tokenization == "no" && kind == "text":
				o["indexFilterable"], o["indexSearchable"] = false, false
			case tokenization == "no":
				o["indexFilterable"] = false
			case tokenization != "":
				o["tokenization"] = tokenization
			}
			properties = append(properties, o)
		}
		definition := map[string]any{"class": class, "properties": properties}
		if class == message {
			maps.Copy(definition, vectors)
		}
		s.weaviate.createClass(t, definition)
	}
	return message, mute, []string{
		"HEARTH_MESSAGE_CLASS=" + message, "HEARTH_MESSAGE_FIELDS=session_id,sender,message,timestamp",
		"HEARTH_MUTE_CLASS=" + mute, "HEARTH_MUTE_FIELDS=session_id,silent,silent_until",
	}
}

// wrongClasses asks classes that cannot be served right: every call of that kind says why, and the others work.
func (s *suite) wrongClasses(t *testing.T) {
	const notThere = ""
	for i, c := range []struct {
		mutes          bool
		property, kind string // as in classTypes
	}{
		{false, "session_id", "text:no"},
		{false, "session_id", "uuid:no"},
		{false, "sender", "text:no"},
		{true, "session_id", "int:no"},
		{false, "session_id", "number"},
		{false, "session_id", "date"},
		{false, "session_id", "boolean"},
		{false, "session_id", "text[]"},
		{false, "session_id", notThere},
		{false, "sender", "int"},
		{false, "sender", notThere},
		{false, "message", "int"},
		{false, "message", "text[]"},
		{false, "message", notThere},
		{false, "timestamp", "boolean"},
		{false, "timestamp", "date[]"},
		{false, "timestamp", notThere},
		{true, "session_id", "number"},
		{true, "session_id", notThere},
		{true, "silent", "text"},
		{true, "silent", "int"},
		{true, "silent", "boolean[]"},
		{true, "silent", notThere},
		{true, "silent_until", "text"},
		{true, "silent_until", "int"},
		{true, "silent_until", notThere},
	} {
		t.Run(fmt.Sprintf("mutes %t, %s %s", c.mutes, c.property, c.kind), func(t *testing.T) {
			p := plainTypes()
			of, setting := p.message, "HEARTH_MESSAGE_FIELDS"
			if c.mutes {
				of, setting = p.mute, "HEARTH_MUTE_FIELDS"
			}
			of[c.property] = c.kind
			if c.kind == notThere {
				delete(of, c.property)
			}
			_, _, env := s.makeClassesOf(t, fmt.Sprint(i), p, nil)
			h := s.start(t, env...)
			names := []string{c.property, c.kind, setting}
			if strings.HasSuffix(c.kind, ":no") {
				names = []string{c.property, "indexFilterable"}
			}
			s.wantKindFails(t, h, "a", c.mutes, names...)
			s.wantCheck(t, false, env, names...)
		})
	}
	t.Run("times of several forms", s.mixedTimes)
	t.Run("chats that the class cannot hold", s.wrongChats)
	t.Run("what a search cannot reach is an error", s.cutShort)
}

// wantKindFails makes every call of a chat: those that use the class at fault say so, and the others succeed.
func (s *suite) wantKindFails(t *testing.T, h *hearth, chat string, mutes bool, names ...string) {
	t.Helper()
	message := client.NewMessage{Role: "user", Content: "x"}
	failing := map[string]reply{
		"history": h.get(t, historyPath(chat, 10, 5)), "relevant": h.post(t, chatPath(chat, "relevant"), map[string]any{"text": "x"}),
		"append": h.post(t, chatPath(chat, "messages"), message),
	}
	others := map[string]reply{"mute": h.get(t, chatPath(chat, "mute")), "put": h.do(t, http.MethodPut, chatPath(chat, "mute"), map[string]any{"muted": true})}
	if mutes {
		failing, others = others, failing
	}
	for call, r := range failing {
		t.Log(call)
		wantWrongClass(t, wantProblem(t, r, http.StatusBadGateway), names...)
	}
	for call, r := range others {
		if r.status != http.StatusOK && r.status != http.StatusCreated {
			t.Errorf("%s, which does not use that class, answers %v", call, r)
		}
	}
	r := h.post(t, "/v1/preprocess", map[string]any{"chat_id": chat, "text": "x", "route_name": "x", "num_messages": 5}, "Cache-Control", "no-cache")
	got := want[client.Preprocess](t, r, http.StatusOK)
	failed := []string{client.PartHistory, client.PartRelevant}
	if mutes {
		failed = []string{client.PartMute}
	}
	if len(got.Errors) != len(failed) {
		t.Errorf("preprocess answers %v", r)
	}
	for _, part := range failed {
		if p := got.Errors[part]; p != nil {
			wantWrongClass(t, *p, names...)
		}
	}
}

// mixedTimes reads chats whose rows the server cannot sort by time.
func (s *suite) mixedTimes(t *testing.T) {
	for i, c := range []struct {
		kind  string
		times []any
	}{
		{"text", []any{"2024-02-29T12:00:00+00:00", "2024-02-29T12:00:00+02:00"}},
		{"text", []any{"2024-02-29T12:00:00Z", "2024-02-29T12:00:00.5Z"}},
		{"text", []any{"2024-02-29T12:00:00.000Z", "2024-02-29T12:00:00.000000Z"}},
		{"text", []any{"2024-02-29T12:00:00.123", "2024-02-29T12:00:00.123456"}},
		{"text", []any{"2024-02-29T12:00:00", "2024-02-29 12:00:00"}},
		{"text", []any{"2024-02-29T12:00:00", "2024-02-29T12:00:00Z"}},
		{"text", []any{"2024-02-29T12:00:00+00:00", "2024-02-29T12:00:00+0000"}},
		{"text", []any{"yesterday"}},
		{"text", []any{"1709208000"}},
		{"text", []any{"29.02.2024 12:00:00"}},
		{"text", []any{"2024-02-29"}},
		{"text", []any{""}},
		{"int", []any{1709208000, 1709208000000}},
		{"number", []any{1709208000.5, 1709208000500.0}},
		{"number", []any{1709208000000000.0}}, // microseconds
	} {
		t.Run(fmt.Sprintf("%s %v", c.kind, c.times), func(t *testing.T) {
			p := plainTypes()
			p.message["timestamp"] = c.kind
			message, _, env := s.makeClassesOf(t, fmt.Sprint("T", i), p, nil)
			for _, at := range c.times {
				s.weaviate.insert(t, object{Class: message, ID: uuid.NewString(), Properties: map[string]any{
					"session_id": "a", "sender": "user", "message": "x", "timestamp": at,
				}})
			}
			s.wantKindFails(t, s.start(t, env...), "a", false, "timestamp", message)
			if out, err := s.tryCommand(t, env, "check"); err == nil || !strings.Contains(out, `"timestamp"`) {
				t.Errorf("hearth check says %v: %s", err, out)
			}
		})
	}
}

// wrongChats asks for chats that the class of messages, or of mutes, cannot hold.
func (s *suite) wrongChats(t *testing.T) {
	for kind, chats := range map[string][]string{
		"uuid": {
			"1-1", "e621e1f8-c36c-495a-93fc-0c247a3e6e5", "{e621e1f8-c36c-495a-93fc-0c247a3e6e5f}", "urn:uuid:e621e1f8-c36c-495a-93fc-0c247a3e6e5f",
			"e621e1f8c36c-495a-93fc-0c247a3e6e5f", "g621e1f8-c36c-495a-93fc-0c247a3e6e5f", " e621e1f8-c36c-495a-93fc-0c247a3e6e5f", "e621e1f8c36c495a93fc0c247a3e6e5f0",
		},
		"int": {"a", "+1", "1.0", "1e3", "0x10", "1_000", " 1", "--1", "-", "9007199254740992", "-9007199254740992", "99999999999999999999", "١"},
	} {
		p := plainTypes()
		p.message["session_id"], p.mute["session_id"] = kind, kind
		_, _, env := s.makeClassesOf(t, "C"+kind, p, nil)
		h := s.start(t, env...)
		for _, chat := range chats {
			for call, r := range map[string]reply{
				"history": h.get(t, historyPath(chat, 10, 5)), "relevant": h.post(t, chatPath(chat, "relevant"), map[string]any{"text": "x"}),
				"append": h.post(t, chatPath(chat, "messages"), client.NewMessage{Role: "user", Content: "x"}),
				"mute":   h.get(t, chatPath(chat, "mute")), "put": h.do(t, http.MethodPut, chatPath(chat, "mute"), map[string]any{"muted": true}),
				"preprocess": h.post(t, "/v1/preprocess", map[string]any{"chat_id": chat, "text": "x", "route_name": "x"}),
				"drop":       h.do(t, http.MethodDelete, "/v1/cache?chat="+url.QueryEscape(chat), nil),
			} {
				if p := wantProblem(t, r, http.StatusBadRequest); p.Field != "chat_id" {
					t.Errorf("%s of %q: %+v", call, chat, p)
				}
			}
		}
	}
	p := plainTypes()
	p.message["session_id"] = "uuid"
	_, _, env := s.makeClassesOf(t, "CBoth", p, nil)
	h := s.start(t, env...)
	h.setMute(t, "no uuid", map[string]any{"muted": true})
	if !h.muted(t, "no uuid").Muted {
		t.Error("what the class of mutes can hold is not held")
	}
	wantProblem(t, h.get(t, historyPath("no uuid", 10, 5)), http.StatusBadRequest)
	if got := want[client.Dropped](t, h.do(t, http.MethodDelete, "/v1/cache?chat=no%20uuid", nil), http.StatusOK); got.Dropped != 1 {
		t.Errorf("dropped %d of a chat that the class of mutes can hold", got.Dropped)
	}
	const id = "e621e1f8-c36c-495a-93fc-0c247a3e6e5f"
	one := h.write(t, strings.ToUpper(id), client.NewMessage{ID: "m", Role: "user", Content: "x", CreatedAt: instant(0)})
	two := h.write(t, strings.ReplaceAll(id, "-", ""), client.NewMessage{ID: "m", Role: "user", Content: "x", CreatedAt: instant(0)})
	if !slices.Equal(one, two) || len(h.history(t, id, 10).AllMessages) != 1 {
		t.Errorf("one message by two names of its chat is %v and %v", one, two)
	}
	if got := want[client.Dropped](t, h.do(t, http.MethodDelete, "/v1/cache?chat="+strings.ToUpper(id), nil), http.StatusOK); got.Dropped == 0 {
		t.Error("nothing was dropped of a chat by another of its names")
	}
}

// cutShort reads a chat whose rows come after more rows of other chats than the server returns at most.
func (s *suite) cutShort(t *testing.T) {
	for kind, at := range map[string]func(i int) any{
		"date": func(i int) any { return fmt.Sprintf("2024-02-29T12:%02d:%02d.%03dZ", i/60000, i/1000%60, i%1000) },
		"text": func(i int) any { return fmt.Sprintf("2024-02-29T12:%02d:%02d.%03d", i/60000, i/1000%60, i%1000) },
	} {
		t.Run(kind, func(t *testing.T) {
			p := plainTypes()
			p.message["session_id"], p.message["timestamp"], p.mute["session_id"] = "text:word", kind, "text:word"
			message, mute, env := s.makeClassesOf(t, "W"+kind, p, nil)
			row := func(chat, content string, i int) object {
				return object{Class: message, ID: uuid.NewString(), Properties: map[string]any{"session_id": chat, "sender": "user", "message": content, "timestamp": at(i)}}
			}
			const foreign = 10_050
			h := s.start(t, env...)
			s.weaviate.insert(t, row("C45", "m0", 0), row("C45", "m1", 1), row("C45", "m2", 2))
			wantContents(t, "alone", contents(h.history(t, "C45", 10).UserMessages), []string{"m0", "m1", "m2"})
			for chunk := range slices.Chunk(slices.Collect(upTo(foreign)), 1005) {
				var rows []object
				for _, i := range chunk {
					rows = append(rows, row(fmt.Sprint("C45-", i), "m0", 10+i))
					rows = append(rows, object{Class: mute, ID: uuid.NewString(), Properties: map[string]any{"session_id": fmt.Sprint("C45-", i), "silent": true}})
				}
				s.weaviate.insert(t, rows...)
			}
			history := h.get(t, historyPath("C45", 10, 5), "Cache-Control", "no-cache")
			if kind == "date" { // the next page can begin at a date
				wantContents(t, "behind others", contents(want[client.History](t, history, http.StatusOK).UserMessages), []string{"m0", "m1", "m2"})
			} else {
				wantCutShort(t, history)
			}
			for call, r := range map[string]reply{
				"relevant": h.post(t, chatPath("C45", "relevant"), map[string]any{"text": "m0"}, "Cache-Control", "no-cache"),
				"mute":     h.get(t, chatPath("C45", "mute"), "Cache-Control", "no-cache"),
			} {
				t.Log(call)
				wantCutShort(t, r)
			}
			h.write(t, "C45", client.NewMessage{Role: "user", Content: "newer", CreatedAt: instant(0).AddDate(1, 0, 0)})
			newest := want[client.History](t, h.get(t, historyPath("C45", 1, 5), "Cache-Control", "no-cache"), http.StatusOK)
			wantContents(t, "the newest", contents(newest.UserMessages), []string{"newer"})
		})
	}
}

func upTo(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func wantCutShort(t *testing.T, r reply) {
	t.Helper()
	if p := wantFinal(t, r, http.StatusBadGateway, "weaviate"); p.Type != "/docs/errors.md#search-cut-short" {
		t.Errorf("the problem is %+v", p)
	}
}

// wantWrongClass wants the problem of a class that cannot be served right, which names what is wrong.
func wantWrongClass(t testing.TB, p client.Problem, names ...string) {
	t.Helper()
	checkFinal(t, p, "weaviate", names...)
	if p.Type != "/docs/errors.md#wrong-class" {
		t.Errorf("the problem is %+v", p)
	}
}
