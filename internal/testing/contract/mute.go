package contract

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"hearth/client"
)

func (s *suite) muteRules(t *testing.T) {
	h := s.start(t, "HEARTH_TTL_MUTE=1h")
	t.Run("a chat that nobody muted is not muted", func(t *testing.T) {
		if r := h.get(t, chatPath("quiet", "mute")); string(r.body) != `{"muted":false}` || r.status != http.StatusOK {
			t.Errorf("the reply is %v", r)
		}
	})
	t.Run("a mute that somebody else wrote is updated, not doubled", func(t *testing.T) {
		chat, id := "muted by another", uuid.NewString()
		s.weaviate.insert(t, object{Class: s.muteClass, ID: id, Properties: map[string]any{"chat_id": chat, "muted": true}})
		if !h.muted(t, chat).Muted {
			t.Error("it is not seen")
		}
		h.setMute(t, chat, map[string]any{"muted": false})
		if got := s.weaviate.ids(t, s.muteClass, chat); !slices.Equal(got, []string{id}) {
			t.Errorf("the chat's objects are %v, want %s alone", got, id)
		}
		if p := s.weaviate.properties(t, s.muteClass, id); p["muted"] != false || p["chat_id"] != chat {
			t.Errorf("the object is %v", p)
		}
		if h.muted(t, chat).Muted || s.start(t).muted(t, chat).Muted {
			t.Error("it is still muted")
		}
	})
	t.Run("puts by two sidecars write one object", func(t *testing.T) {
		chat, other := "muted twice", s.start(t)
		for i := range 4 {
			[]*hearth{h, other}[i%2].setMute(t, chat, map[string]any{"muted": i%2 == 0})
		}
		if got := s.weaviate.ids(t, s.muteClass, chat); len(got) != 1 {
			t.Errorf("the chat's objects are %v", got)
		}
	})
	t.Run("a mute ends at its time, also while cached", func(t *testing.T) {
		chat := "muted for a while"
		until := time.Now().UTC().Add(1200 * time.Millisecond)
		put := h.setMute(t, chat, map[string]any{"muted": true, "until": until})
		if put.Until == nil || !put.Until.Equal(until) {
			t.Errorf("the put answers %+v, want until %v", put, until)
		}
		reader := s.start(t, "HEARTH_TTL_MUTE=1h")
		for name, h := range map[string]*hearth{"the writer": h, "a reader": reader} {
			if m := h.muted(t, chat); time.Now().Before(until) && (!m.Muted || m.Until == nil || !m.Until.Equal(until)) {
				t.Errorf("%s: before its end it is %+v", name, m)
			}
		}
		for ended := false; !ended; {
			for name, h := range map[string]*hearth{"the writer": h, "a reader": reader} {
				begun := time.Now()
				r := h.get(t, chatPath(chat, "mute"))
				m := want[client.Mute](t, r, http.StatusOK)
				if begun.After(until) && m.Muted {
					t.Fatalf("%s: %v after its end it is %+v", name, begun.Sub(until), m)
				}
				if time.Now().Before(until) && !m.Muted {
					t.Fatalf("%s: it ended %v early", name, time.Until(until))
				}
				if !cached(t, r).hit {
					t.Fatalf("%s: %s", name, r.header.Get("Cache-Status"))
				}
				ended = begun.After(until)
			}
		}
		if got := h.muted(t, chat); got.Until != nil {
			t.Errorf("a mute that has ended has the end %v", got.Until)
		}
	})
	t.Run("a mute that has ended already is none", func(t *testing.T) {
		past := time.Now().UTC().Add(-time.Minute)
		if m := h.setMute(t, "muted before", map[string]any{"muted": true, "until": past}); m.Muted {
			t.Errorf("it is %+v", m)
		}
		s.weaviate.insert(t, object{Class: s.muteClass, ID: uuid.NewString(), Properties: map[string]any{
			"chat_id": "muted before by another", "muted": true, "muted_until": past.Format(time.RFC3339Nano),
		}})
		if m := h.muted(t, "muted before by another"); m.Muted {
			t.Errorf("another's is %+v", m)
		}
	})
	t.Run("until null clears the end", func(t *testing.T) {
		chat := "muted for good"
		h.setMute(t, chat, map[string]any{"muted": true, "until": time.Now().Add(time.Hour)})
		h.setMute(t, chat, map[string]any{"muted": true, "until": nil})
		for name, h := range map[string]*hearth{"the writer": h, "a reader": s.start(t)} {
			if r := h.get(t, chatPath(chat, "mute")); string(r.body) != `{"muted":true}` {
				t.Errorf("%s: it is %v", name, r)
			}
		}
		ids := s.weaviate.ids(t, s.muteClass, chat)
		if len(ids) != 1 || s.weaviate.properties(t, s.muteClass, ids[0])["muted_until"] != nil {
			t.Errorf("the chat's objects are %v", ids)
		}
	})
	t.Run("preprocess sees a mute at once", func(t *testing.T) {
		ask := map[string]any{"chat_id": "muted between", "text": "x", "route_name": "chat"}
		for _, muted := range []bool{false, true, false} {
			h.setMute(t, "muted between", map[string]any{"muted": muted})
			if got := h.preprocess(t, ask); got.MuteStatus.Muted != muted {
				t.Errorf("after %t it is %t", muted, got.MuteStatus.Muted)
			}
		}
	})
}
