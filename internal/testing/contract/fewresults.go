package contract

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"hearth/client"
)

// RunFewResults asks a Weaviate whose QUERY_MAXIMUM_RESULTS is 50.
func RunFewResults(t *testing.T, bin string, u Upstreams) {
	const maximum = 50
	s := newSuite(t, bin, u)
	for i, c := range []struct {
		chat, time string
		pages      bool // a search can go on from a time
	}{
		{"text:field", "date", true},
		{"text:word", "date", true},
		{"uuid", "int", true},
		{"text:field", "text", false},
		{"uuid", "date:no", false},
		{"text:word", "text", false},
	} {
		t.Run(fmt.Sprintf("chats are %s, times %s", c.chat, c.time), func(t *testing.T) {
			p := plainTypes()
			p.message["session_id"], p.mute["session_id"], p.message["timestamp"] = c.chat, c.chat, c.time
			message, _, env := s.makeClassesOf(t, fmt.Sprint(i), p, nil)
			chats := []string{"1-1", "1-12"}
			if c.chat == "uuid" {
				chats = []string{"e621e1f8-c36c-495a-93fc-0c247a3e6e5f", "e621e1f8-c36c-495a-93fc-0c247a3e6e50"}
			}
			var rows []object
			var b book
			for n := range 120 {
				at := instant(time.Duration(n/2) * time.Second)
				stored := map[string]any{"date": at.Format(time.RFC3339), "int": at.Unix(), "date:no": at.Format(time.RFC3339), "text": at.Format("2006-01-02T15:04:05")}[c.time]
				for k, chat := range chats {
					if k > 0 && n < 90 { // of the other chat only what is newer
						continue
					}
					o := object{Class: message, ID: uuid.NewString(), Properties: map[string]any{
						"session_id": chat, "sender": side(n), "message": fmt.Sprint("ferry ", n), "timestamp": stored,
					}}
					rows = append(rows, o)
					if k == 0 {
						b = append(b, client.Message{ID: o.ID, Role: side(n), Content: fmt.Sprint("ferry ", n), CreatedAt: at})
					}
				}
			}
			s.weaviate.insert(t, rows...)
			s.command(t, env, "check")
			h := s.start(t, env...)
			for _, n := range []int{1, 10, 20, 50, 60, 200} {
				r := h.get(t, historyPath(chats[0], n, 5), "Cache-Control", "no-cache")
				if !c.pages && n+15 >= maximum && r.status != http.StatusOK {
					wantCutShort(t, r)
					continue
				}
				got, expected := want[client.History](t, r, http.StatusOK), b.history(chats[0], n, 5)
				if !slices.EqualFunc(got.AllMessages, expected.AllMessages, sameMessage) {
					t.Errorf("history of %d is %v", n, contents(got.AllMessages))
				}
			}
			if got := h.relevant(t, chats[0], map[string]any{"text": "ferry"}); len(got) != 5 {
				t.Errorf("%d messages are relevant", len(got))
			}
			wantCutShort(t, h.post(t, chatPath(chats[0], "relevant"), map[string]any{"text": "ferry", "count": 100}))
			wantContents(t, "few are relevant", scoredContents(h.relevant(t, chats[0], map[string]any{"text": "7", "count": 49})), []string{"ferry 7"})
			h.setMute(t, chats[0], map[string]any{"muted": true})
			if !s.start(t, env...).muted(t, chats[0]).Muted || h.muted(t, chats[1]).Muted {
				t.Error("the mute is not that of its chat")
			}
			id := h.say(t, chats[0], "user", "newest")
			if got := h.history(t, chats[0], 1, "Cache-Control", "no-cache").UserMessages; len(got) != 1 || got[0].ID != id {
				t.Errorf("the newest is %v", got)
			}
		})
	}
}
