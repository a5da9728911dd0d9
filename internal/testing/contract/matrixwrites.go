package contract

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/client"
)

// writesInItsForm writes through Hearth, and reads the objects without it.
func (f *foreign) writesInItsForm(t *testing.T, h *hearth) {
	t.Helper()
	if f.time.kind == "" {
		f.writesWithoutTimes(t, h)
		return
	}
	for i, at := range []time.Time{instant(4 * time.Second), instant(time.Hour + 123456789), instant(time.Hour + 123456789), instant(2 * time.Hour)} {
		spelled, role := f.chat.spelled[i%len(f.chat.spelled)], []string{"user", "assistant", "user", "system"}[i]
		m := client.NewMessage{Role: role, Content: "ferry by Hearth", CreatedAt: at, Properties: map[string]any{"lang": "en"}}
		id := h.write(t, spelled, m)[0]
		stored := map[string]string{"user": f.roles.user[0], "assistant": f.roles.assistant[0], "system": "system"}[role]
		expected := map[string]any{
			"session_id": f.chat.held, "sender": stored, "message": m.Content, "lang": "en", "timestamp": f.time.written(at),
		}
		if got := f.weaviate.propertiesOf(t, f.message, f.messageTenant(), id); !maps.Equal(got, expected) {
			t.Errorf("the object is %v, want %v", got, expected)
		}
		if role != "system" {
			f.book = append(f.book, client.Message{ID: id, Role: role, Content: m.Content, CreatedAt: at.Truncate(f.time.exact)})
		}
	}
	f.refusesVectors(t, h)
	before := time.Now().Add(-2 * time.Second)
	id := h.say(t, f.chat.spelled[0], "user", "the last ferry")
	last := h.history(t, f.chat.spelled[0], 1).UserMessages[0]
	if last.ID != id || last.CreatedAt.Before(before) || !last.CreatedAt.Equal(last.CreatedAt.Truncate(f.time.exact)) {
		t.Errorf("a message without created_at is read as %+v", last)
	}
	f.book = append(f.book, last)
}

// writesWithoutTimes writes where the server gives the times: in another order than a given created_at says.
func (f *foreign) writesWithoutTimes(t *testing.T, h *hearth) {
	t.Helper()
	for i, spelled := range f.chat.spelled {
		role := side(i)
		id := h.write(t, spelled, client.NewMessage{Role: role, Content: "ferry by Hearth", CreatedAt: instant(-time.Duration(i) * time.Hour)})[0]
		stored := map[string]string{"user": f.roles.user[0], "assistant": f.roles.assistant[0]}[role]
		expected := map[string]any{"session_id": f.chat.held, "sender": stored, "message": "ferry by Hearth"}
		if got := f.weaviate.propertiesOf(t, f.message, f.messageTenant(), id); !maps.Equal(got, expected) {
			t.Errorf("the object is %v, want %v", got, expected)
		}
		f.book = append(f.book, client.Message{ID: id, Role: role, Content: "ferry by Hearth"})
	}
	f.compareWithDirect(t)
	for _, m := range f.book[len(f.book)-len(f.chat.spelled):] {
		if time.Since(m.CreatedAt) > time.Hour {
			t.Errorf("a message that was written just now is of %v", m.CreatedAt)
		}
		got := h.history(t, f.chat.spelled[0], 200).AllMessages // as the writer holds it
		if !slices.ContainsFunc(got, func(o client.Message) bool { return sameMessage(o, m) }) {
			t.Errorf("the writer has not %+v", m)
		}
	}
}

// refusesVectors writes a message with a vector where the class has several and no setting names one.
func (f *foreign) refusesVectors(t *testing.T, h *hearth) {
	t.Helper()
	if !f.vectors.ambiguous {
		return
	}
	r := h.post(t, chatPath(f.chat.spelled[0], "messages"), client.NewMessage{Role: "user", Content: "x", Vector: []float32{1, 2, 3}})
	wantWrongClass(t, wantProblem(t, r, http.StatusBadGateway), "HEARTH_WEAVIATE_VECTOR")
}

// mutes reads another program's mute, changes it through Hearth and looks at it directly.
func (f *foreign) mutes(t *testing.T, h *hearth) {
	t.Helper()
	id := uuid.NewString()
	objects := []object{{Class: f.mute, ID: id, Tenant: f.muteTenant(), Properties: map[string]any{"session_id": f.chat.stored, "silent": true}}}
	for _, chat := range f.chat.others {
		objects = append(objects, object{
			Class: f.mute, ID: uuid.NewString(), Tenant: f.muteTenant(), Properties: map[string]any{"session_id": chat, "silent": false},
		})
	}
	f.weaviate.insert(t, objects...)
	f.wantMute(t, h, id, true)
	until := instant(0).AddDate(100, 0, 0)
	for i, spelled := range f.chat.spelled {
		muted, body := i%2 == 1, map[string]any{"muted": i%2 == 1}
		if muted && !f.noUntil {
			body["until"] = until
		}
		h.setMute(t, spelled, body)
		expected := map[string]any{"session_id": f.chat.held, "silent": muted}
		if body["until"] != nil {
			expected["silent_until"] = until.Format(time.RFC3339Nano)
		}
		if got := f.weaviate.propertiesOf(t, f.mute, f.muteTenant(), id); !maps.Equal(got, expected) {
			t.Errorf("the mute is %v, want %v", got, expected)
		}
		f.wantMute(t, h, id, muted)
	}
	f.wantMute(t, f.start(t, f.env...), id, len(f.chat.spelled)%2 == 0)
	r := h.do(t, http.MethodPut, chatPath(f.chat.spelled[0], "mute"), map[string]any{"muted": true, "until": until})
	if f.noUntil {
		if p := wantProblem(t, r, http.StatusBadRequest); p.Field != "until" || !strings.Contains(p.Detail, "HEARTH_MUTE_FIELDS") {
			t.Errorf("an end that cannot be kept: %+v", p)
		}
		return
	}
	if m := want[client.Mute](t, r, http.StatusOK); !m.Muted || m.Until == nil || !m.Until.Equal(until) {
		t.Errorf("the mute is %+v", m)
	}
}

// wantMute compares a mute under every name of the chat, in preprocess too, and with what Weaviate has.
func (f *foreign) wantMute(t *testing.T, h *hearth, id string, muted bool) {
	t.Helper()
	rows := f.weaviate.ask(t, &pb.SearchRequest{
		Collection: f.mute, Tenant: f.muteTenant(), Limit: 1000, Filters: f.chatFilter(),
		Properties: &pb.PropertiesRequest{NonRefProperties: []string{"session_id", "silent"}}, Metadata: &pb.MetadataRequest{Uuid: true},
	})
	rows = slices.DeleteFunc(rows, func(r *pb.SearchResult) bool {
		return !f.ours(r.GetProperties().GetNonRefProps().GetFields()["session_id"])
	})
	if len(rows) != 1 || rows[0].GetMetadata().GetId() != id || rows[0].GetProperties().GetNonRefProps().GetFields()["silent"].GetBoolValue() != muted {
		t.Errorf("the chat's mutes are %v, want %s alone, %t", rows, id, muted)
	}
	for _, spelled := range f.chat.spelled {
		if got := h.muted(t, spelled); got.Muted != muted {
			t.Errorf("the mute of %s is %+v, want %t", spelled, got, muted)
		}
		r := h.post(t, "/v1/preprocess", map[string]any{"chat_id": spelled, "text": "ferry", "route_name": "x", "num_messages": 5})
		got := want[client.Preprocess](t, r, http.StatusOK)
		if got.MuteStatus == nil || got.MuteStatus.Muted != muted || got.ChatID != f.chat.spelled[0] || got.History == nil || got.History.ChatID != f.chat.spelled[0] {
			t.Errorf("preprocess of %s says %v, want muted %t", spelled, r, muted)
		}
	}
}
