package contract

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/client"
)

// neighbours are chats that some layer between a handler and Weaviate's index might take for one another.
func neighbours() []string {
	return []string{
		"1-1", "1-12", "2-1", "1 1", "1",
		"a/b", "a//b", "a", "/", "//", "..", ".", "x/../victim", "victim", "../victim", "a%2Fb", "%2F", "%", "%25", "a?b=c", "a#b", "a;b", "a&b", "a+b",
		" a", "a ", "\ta", "a\n", "A", "á", "a\u0301", "ａ", // the last is full width
		`say "hi"`, `back\slash`, `\`, `\"`, "new\nline", "carriage\r\nreturn", "tab\there", "'", "`", "\u0001\u001f\u007f", "\u2028", "\ufeff",
		"👩‍👩‍👧‍👦", "👩", "🏳️‍🌈", "日本", "日本語",
		`{}`, `"}) {`, `"]}){chat_id}}}`, `{Get{Message{content}}}`, `${x}`, `$chat`, `*`, `?`, `a*`, `-1`, `0`, `null`, `true`, `[]`,
		strings.Repeat("L", 512), strings.Repeat("L", 511) + "l", strings.Repeat("é", 256),
	}
}

func (s *suite) isolation(t *testing.T) {
	t.Run("chats never see each other's messages or mutes", func(t *testing.T) { s.chatsAreApart(t, s.start(t), s.start(t), neighbours()) })
	t.Run("also not in a class that tokenizes chat_id and role by word", func(t *testing.T) {
		message, mute := s.messageClass+"_Word", s.muteClass+"_Word"
		for class, fields := range map[string]map[string]string{
			message: {"chat_id": "text", "role": "text", "content": "text", "created_at": "date"},
			mute:    {"chat_id": "text", "muted": "boolean", "muted_until": "date"},
		} {
			var properties []any
			for name, kind := range fields {
				properties = append(properties, map[string]any{"name": name, "dataType": []string{kind}})
			}
			s.weaviate.createClass(t, map[string]any{"class": class, "properties": properties})
		}
		env := []string{"HEARTH_MESSAGE_CLASS=" + message, "HEARTH_MUTE_CLASS=" + mute}
		// Without a word that is indexed, a chat cannot be found there: that must be an error, and not silence.
		chats := slices.DeleteFunc(neighbours(), func(chat string) bool { return !strings.ContainsAny(chat, "A1vicLé日") || chat == "A" })
		chats = append(chats, "one two", "two one", "two-one", "One Two", "one two three", "three", "a one", "one a")
		h := s.start(t, env...)
		s.chatsAreApart(t, h, s.start(t, env...), chats)
		for _, chat := range []string{"a", "the", "the of"} {
			wantFinal(t, h.get(t, chatPath(chat, "history")), http.StatusBadGateway, "weaviate")
		}
		if out, err := s.tryCommand(t, env, "check"); err != nil || !strings.Contains(out, `has tokenization "word"`) {
			t.Errorf("hearth check says nothing of the tokenization: %s", out)
		}
	})
	t.Run("a chat is found behind many newer messages of one that differs in white space", func(t *testing.T) {
		at := instant(0)
		s.common.write(t, "behind", client.NewMessage{Role: "user", Content: "needle", CreatedAt: at})
		for range 3 {
			crowd := make([]client.NewMessage, 100)
			for i := range crowd {
				crowd[i] = client.NewMessage{Role: "user", Content: fmt.Sprint("needle needle ", i), CreatedAt: at.Add(time.Hour)}
			}
			s.common.write(t, "behind ", crowd...)
		}
		h := s.start(t)
		wantContents(t, "history", contents(h.history(t, "behind", 10).AllMessages), []string{"needle"})
		wantContents(t, "relevance", scoredContents(h.relevant(t, "behind", map[string]any{"text": "needle"})), []string{"needle"})
	})
	t.Run("a chat's id is decoded once", func(t *testing.T) {
		s.common.say(t, "dots..", "user", "dotted")
		for _, path := range []string{"/v1/chats/%64ots%2e%2E/history", "/v1/chats/dots../history"} {
			got := want[client.History](t, s.common.get(t, path), http.StatusOK)
			if got.ChatID != "dots.." || len(got.AllMessages) != 1 {
				t.Errorf("%s is read as %q with %v", path, got.ChatID, got.AllMessages)
			}
		}
		if got := s.common.history(t, "%64ots..", 10); got.ChatID != "%64ots.." || len(got.AllMessages) != 0 {
			t.Errorf("a literal %%64 is read as %q with %v", got.ChatID, got.AllMessages)
		}
	})
}

// chatsAreApart writes to every chat at one and the same instant and reads each, by the sidecar that wrote and by
// one that comes cold.
func (s *suite) chatsAreApart(t *testing.T, writer, reader *hearth, chats []string) {
	t.Helper()
	at := instant(0)
	said := func(i int, role string) string { return fmt.Sprintf("needle %s of chat number%d", role, i) }
	for i, chat := range chats {
		writer.write(t, chat,
			client.NewMessage{Role: "user", Content: said(i, "question"), CreatedAt: at, ID: "same id"},
			client.NewMessage{Role: "assistant", Content: said(i, "answer"), CreatedAt: at},
			client.NewMessage{Role: "system", Content: said(i, "rule"), CreatedAt: at})
		if i%2 == 0 {
			writer.setMute(t, chat, map[string]any{"muted": true})
		}
	}
	for name, h := range map[string]*hearth{"the writer": writer, "a cold reader": reader, "the socket": reader.overSocket()} {
		for i, chat := range chats {
			who := fmt.Sprintf("%s: chat %.40q", name, chat)
			expected := []string{said(i, "question"), said(i, "answer")}
			got := h.history(t, chat, 200)
			wantContents(t, who+": history", contents(got.AllMessages), expected)
			if got.ChatID != chat {
				t.Errorf("%s: history is of %q", who, got.ChatID)
			}
			relevant := scoredContents(h.relevant(t, chat, map[string]any{"text": "needle", "count": 100}))
			slices.Sort(relevant)
			wantContents(t, who+": relevance", relevant, []string{expected[1], expected[0]})
			wantContents(t, who+": rules", scoredContents(h.relevant(t, chat, map[string]any{"text": "needle", "roles": []string{"system"}})),
				[]string{said(i, "rule")})
			if got := h.muted(t, chat); got.Muted != (i%2 == 0) {
				t.Errorf("%s: muted is %t", who, got.Muted)
			}
			all := want[client.Preprocess](t, h.post(t, "/v1/preprocess", map[string]any{
				"chat_id": chat, "text": "needle", "route_name": "chat", "num_messages": 200,
			}), http.StatusOK)
			if all.ChatID != chat || all.MuteStatus.Muted != (i%2 == 0) || len(all.RelevantMessages) != 2 {
				t.Errorf("%s: preprocess is of chat %q, mute %v, relevant %v", who, all.ChatID, all.MuteStatus, all.RelevantMessages)
			}
			wantContents(t, who+": preprocess", contents(all.History.AllMessages), expected)
		}
	}
	for i, chat := range chats { // each is dropped while the others are held
		path := "/v1/cache?chat=" + url.QueryEscape(chat)
		dropped := want[client.Dropped](t, reader.do(t, http.MethodDelete, path, nil), http.StatusOK)
		if dropped.Dropped < 3 {
			t.Errorf("chat %.40q: dropped %d things, want its history, its mute and what was relevant", chat, dropped.Dropped)
		}
		if again := want[client.Dropped](t, reader.do(t, http.MethodDelete, path, nil), http.StatusOK); again.Dropped != 0 {
			t.Errorf("chat %.40q: dropping it again dropped %d things", chat, again.Dropped)
		}
		if i+1 == len(chats) {
			break
		}
		next := chats[i+1]
		for _, path := range []string{historyPath(next, 200, 5), chatPath(next, "mute")} {
			if r := reader.get(t, path, "Cache-Control", "max-stale"); !cached(t, r).hit {
				t.Errorf("dropping chat %.40q dropped %q", chat, path)
			}
		}
	}
}

// instant is a moment of a day long gone, so that nothing depends on the clock.
func instant(after time.Duration) time.Time {
	return time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC).Add(after)
}
