package contract

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/client"
)

// foreign is another program with its two classes, and what it has written into one chat.
type foreign struct {
	*suite
	shape
	message, mute string // classes
	env           []string
	book          book
}

const foreignTenant = "acme"

// matrix compares what Hearth answers, for each shape of class, with what Weaviate answers and with what was written.
func (s *suite) matrix(t *testing.T) {
	for i, shape := range shapes() {
		t.Run(shape.name, func(t *testing.T) {
			f := s.newForeign(t, "F"+strconv.Itoa(i), shape)
			f.insertMessages(t)
			if f.notSearchable {
				s.wantCheck(t, false, f.env, "indexSearchable")
			} else {
				s.wantCheck(t, true, f.env, "no part of a history: ")
			}
			h := s.start(t, f.env...)
			f.readsAsDirectly(t, h)
			f.mutes(t, h)
			f.writesInItsForm(t, h)
			for _, reader := range []*hearth{h, s.start(t, f.env...)} {
				f.readsAsDirectly(t, reader)
			}
		})
	}
}

// newForeign makes the classes of a shape.
func (s *suite) newForeign(t *testing.T, name string, shape shape) *foreign {
	t.Helper()
	f := &foreign{suite: s, shape: shape, message: s.messageClass + "_" + name, mute: s.muteClass + "_" + name}
	text := func(name string) map[string]any { return map[string]any{"name": name, "dataType": []string{"text"}} }
	chat := maps.Clone(shape.chat.property)
	chat["name"] = "session_id"
	content := text("message")
	if shape.notSearchable {
		content["indexSearchable"] = false
	}
	messages := map[string]any{"class": f.message, "properties": []any{text("lang"), content, text("sender"), chat}}
	fields := "session_id,sender,message,_creationTimeUnix"
	if shape.time.kind != "" {
		messages["properties"] = append(messages["properties"].([]any), map[string]any{"name": "timestamp", "dataType": []string{shape.time.kind}})
		fields = "session_id,sender,message,timestamp"
	}
	if shape.noFilters {
		for _, p := range messages["properties"].([]any) {
			p.(map[string]any)["indexFilterable"] = false
		}
	}
	maps.Copy(messages, shape.vectors.class)
	mutes := map[string]any{"class": f.mute, "properties": []any{chat, map[string]any{"name": "silent", "dataType": []string{"boolean"}}}}
	muteFields := "session_id,silent"
	if !shape.noUntil {
		mutes["properties"] = append(mutes["properties"].([]any), map[string]any{"name": "silent_until", "dataType": []string{"date"}})
		muteFields += ",silent_until"
	}
	s.weaviate.createForeign(t, messages, shape.messageTenants)
	s.weaviate.createForeign(t, mutes, shape.muteTenants)
	name = f.message
	if shape.alias {
		name += "_Alias"
		s.weaviate.createAlias(t, name, f.message)
	}
	f.env = slices.Concat([]string{
		"HEARTH_MESSAGE_CLASS=" + name, "HEARTH_MESSAGE_FIELDS=" + fields, "HEARTH_MUTE_CLASS=" + f.mute, "HEARTH_MUTE_FIELDS=" + muteFields,
	}, shape.roles.env, shape.env)
	if shape.messageTenants || shape.muteTenants {
		f.env = append(f.env, "HEARTH_WEAVIATE_TENANT="+foreignTenant)
	}
	return f
}

func (d *direct) createForeign(t *testing.T, class map[string]any, tenants bool) {
	t.Helper()
	if tenants {
		class["multiTenancyConfig"] = map[string]any{"enabled": true}
	}
	d.createClass(t, class)
	if !tenants {
		return
	}
	path := "/v1/schema/" + class["class"].(string) + "/tenants"
	if status, got := d.do(t, http.MethodPost, path, []any{map[string]any{"name": foreignTenant}}); status != http.StatusOK {
		t.Fatalf("create a tenant: %d %s", status, got)
	}
}

func (d *direct) createAlias(t *testing.T, alias, class string) {
	t.Helper()
	if status, got := d.do(t, http.MethodPost, "/v1/aliases", map[string]any{"alias": alias, "class": class}); status != http.StatusOK {
		t.Fatalf("create an alias: %d %s", status, got)
	}
	t.Cleanup(func() { d.do(t, http.MethodDelete, "/v1/aliases/"+alias, nil) })
}

func (f *foreign) messageTenant() string {
	if f.messageTenants {
		return foreignTenant
	}
	return ""
}

func (f *foreign) muteTenant() string {
	if f.muteTenants {
		return foreignTenant
	}
	return ""
}

// insertMessages writes what another program has said: two rows at each time, with and without a fraction of a second,
// roles of all kinds in turn, and as much in other chats.
func (f *foreign) insertMessages(t *testing.T) {
	t.Helper()
	roles := []any{}
	for _, some := range [][]string{f.roles.user, f.roles.assistant} {
		for _, role := range some {
			roles = append(roles, role)
		}
	}
	roles = append(roles, f.roles.others...)
	for i := range 12 {
		at := instant(time.Duration(i/2) * 1500 * time.Millisecond).Add(time.Duration(i/2%3) * 123457 * time.Microsecond)
		var objects []object
		for n, chat := range slices.Concat([]any{f.chat.stored}, f.chat.others) {
			for m, role := range roles {
				o := f.object(fmt.Sprintf("ferry %d of %v in %d%s", i, role, n, strings.Repeat(" ferry", (i+m)%4)), chat, role, at.Truncate(f.time.exact))
				objects = append(objects, o)
				if n == 0 {
					f.enter(o, role, at.Truncate(f.time.exact))
				}
			}
		}
		f.weaviate.insert(t, objects...)
	}
}

func (f *foreign) object(content string, chat, role any, at time.Time) object {
	o := object{Class: f.message, ID: uuid.NewString(), Tenant: f.messageTenant(), Properties: map[string]any{"session_id": chat, "message": content, "lang": "de"}}
	if role != nil {
		o.Properties["sender"] = role
	}
	if f.time.kind != "" {
		o.Properties["timestamp"] = f.time.write(at)
	}
	v := []float32{1, float32(len(content)%7) / 7, float32(at.Nanosecond()%11) / 11}
	if f.vectors.all == nil {
		o.Vector = v
		return o
	}
	o.Vectors = map[string][]float32{}
	for i, name := range f.vectors.all {
		o.Vectors[name] = append(slices.Clone(v), make([]float32, i)...)
	}
	return o
}

// enter adds a message to the book if its role makes it part of the history.
func (f *foreign) enter(o object, role any, at time.Time) {
	m := client.Message{ID: o.ID, Content: o.Properties["message"].(string), CreatedAt: at}
	switch name, _ := role.(string); {
	case slices.Contains(f.roles.user, name):
		m.Role = "user"
	case slices.Contains(f.roles.assistant, name):
		m.Role = "assistant"
	default:
		return
	}
	f.book = append(f.book, m)
}

// readsAsDirectly compares histories and relevance.
func (f *foreign) readsAsDirectly(t *testing.T, h *hearth) {
	t.Helper()
	f.compareWithDirect(t)
	for _, spelled := range f.chat.spelled {
		for _, n := range []int{1, 2, 7, 12, 200} {
			r := h.get(t, historyPath(spelled, n, 5), "Cache-Control", "no-cache")
			got, expected := want[client.History](t, r, http.StatusOK), f.book.history(f.chat.spelled[0], n, 5)
			if got.ChatID != expected.ChatID {
				t.Errorf("%s is called %q, not %q", spelled, got.ChatID, expected.ChatID)
			}
			if !slices.EqualFunc(got.AllMessages, expected.AllMessages, sameMessage) {
				t.Fatalf("history of %d of %s is\n%v\nwant\n%v", n, spelled, got.AllMessages, expected.AllMessages)
			}
		}
		if _, held := parseCacheStatus(h.get(t, historyPath(spelled, 5, 5))); held != nil {
			t.Error(held)
		}
	}
	f.relevantAsDirectly(t, h)
}

func sameMessage(a, b client.Message) bool {
	return a.ID == b.ID && a.Role == b.Role && a.Content == b.Content && a.CreatedAt.Equal(b.CreatedAt)
}

// compareWithDirect asks Weaviate for each side of the chat, newest first. Times that Weaviate has given are taken from it.
func (f *foreign) compareWithDirect(t *testing.T) {
	t.Helper()
	at := "timestamp"
	if f.time.kind == "" {
		at = "_creationTimeUnix"
	}
	for role, stored := range map[string][]string{"user": f.roles.user, "assistant": f.roles.assistant} {
		rows := f.ask(t, &pb.SearchRequest{Filters: f.filter(stored), SortBy: []*pb.SortBy{{Path: []string{at}}}}, 1000)
		rows = slices.DeleteFunc(rows, func(r *pb.SearchResult) bool {
			fields := r.GetProperties().GetNonRefProps().GetFields()
			return !f.ours(fields["session_id"]) || !slices.Contains(stored, fields["sender"].GetTextValue())
		})
		var last time.Time
		for i, r := range rows {
			n := slices.IndexFunc(f.book, func(m client.Message) bool { return m.ID == r.GetMetadata().GetId() })
			if n < 0 || f.book[n].Role != role {
				t.Fatalf("Weaviate has %v, which nobody has written as %s", r, role)
			}
			if f.time.kind == "" {
				f.book[n].CreatedAt = time.UnixMilli(r.GetMetadata().GetCreationTimeUnix()).UTC()
			}
			if i > 0 && f.book[n].CreatedAt.After(last) {
				t.Fatalf("Weaviate's order is not that of time at %v", r)
			}
			last = f.book[n].CreatedAt
		}
		if expected := f.book.newest(role, len(f.book)); len(rows) != len(expected) {
			t.Fatalf("Weaviate has %d of the %s, %d were written", len(rows), role, len(expected))
		}
	}
}

func (f *foreign) ask(t *testing.T, req *pb.SearchRequest, limit int) []*pb.SearchResult {
	t.Helper()
	req.Collection, req.Tenant, req.Limit = f.message, f.messageTenant(), uint32(limit)
	req.Properties = &pb.PropertiesRequest{NonRefProperties: []string{"session_id", "sender", "message"}}
	req.Metadata = &pb.MetadataRequest{Uuid: true, CreationTimeUnix: true, Score: true, Distance: true}
	return f.weaviate.ask(t, req)
}

func (f *foreign) ours(chat *pb.Value) bool {
	switch v := chat.GetKind().(type) {
	case *pb.Value_TextValue:
		return v.TextValue == f.chat.held
	case *pb.Value_UuidValue:
		return v.UuidValue == f.chat.held
	case *pb.Value_IntValue:
		return float64(v.IntValue) == f.chat.held
	}
	return false
}

// filter finds the chat's rows that have one of these roles.
func (f *foreign) filter(roles []string) *pb.Filters {
	anyOf := &pb.Filters{Operator: pb.Filters_OPERATOR_OR}
	for _, role := range roles {
		anyOf.Filters = append(anyOf.Filters, equalText("sender", role))
	}
	return &pb.Filters{Operator: pb.Filters_OPERATOR_AND, Filters: []*pb.Filters{f.chatFilter(), anyOf}}
}

func (f *foreign) chatFilter() *pb.Filters {
	chat := equalText("session_id", fmt.Sprint(f.chat.stored))
	if id, ok := f.chat.stored.(int64); ok {
		chat.TestValue = &pb.Filters_ValueInt{ValueInt: id}
	}
	return chat
}

// relevantAsDirectly compares what each mode finds.
func (f *foreign) relevantAsDirectly(t *testing.T, h *hearth) {
	t.Helper()
	vector := []float32{0.5, 0.9, 0.1}
	if f.vectors.name == "two" {
		vector = append(vector, 0)
	}
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, vector) // a buffer takes all
	var targets *pb.Targets
	if f.vectors.name != "" {
		targets = &pb.Targets{TargetVectors: []string{f.vectors.name}}
	}
	const text, alpha = "ferry of", 0.75 // Weaviate's own default
	content := []string{"message"}
	keywords := &pb.SearchRequest{Bm25Search: &pb.BM25{Query: text, Properties: content}}
	nearest := &pb.SearchRequest{NearVector: &pb.NearVector{VectorBytes: b.Bytes(), Targets: targets}}
	both := &pb.SearchRequest{HybridSearch: &pb.Hybrid{
		Query: text, Properties: content, Alpha: alpha, FusionType: pb.Hybrid_FUSION_TYPE_RELATIVE_SCORE, VectorBytes: b.Bytes(), Targets: targets,
	}}
	switch {
	case f.notSearchable:
		f.relevanceFails(t, h, map[string]any{"text": text}, "indexSearchable")
		f.relevanceFails(t, h, map[string]any{"text": text, "mode": "hybrid", "vector": vector}, "indexSearchable")
		f.relevantEqual(t, h, map[string]any{"mode": "near_vector", "vector": vector}, "near_vector", nearest)
	case f.vectors.ambiguous:
		f.relevantEqual(t, h, map[string]any{"text": text, "vector": vector}, "bm25", keywords)
		f.relevanceFails(t, h, map[string]any{"text": text, "mode": "near_vector", "vector": vector}, "HEARTH_WEAVIATE_VECTOR")
		f.relevanceFails(t, h, map[string]any{"text": text, "mode": "hybrid", "vector": vector}, "HEARTH_WEAVIATE_VECTOR")
	default:
		f.relevantEqual(t, h, map[string]any{"text": text}, "bm25", keywords)
		f.relevantEqual(t, h, map[string]any{"mode": "near_vector", "vector": vector}, "near_vector", nearest)
		f.relevantEqual(t, h, map[string]any{"text": text, "vector": vector}, "hybrid", both)
	}
}

func (f *foreign) relevanceFails(t *testing.T, h *hearth, body map[string]any, names string) {
	t.Helper()
	p := wantProblem(t, h.post(t, chatPath(f.chat.spelled[0], "relevant"), body), http.StatusBadGateway)
	wantWrongClass(t, p, names)
}

// relevantEqual compares answers with Weaviate's own. Messages of equal scores may stand in any order.
func (f *foreign) relevantEqual(t *testing.T, h *hearth, body map[string]any, mode string, search *pb.SearchRequest) {
	t.Helper()
	for _, count := range []int{1, 100} {
		ids, scores := f.best(t, search, count)
		body["count"] = count
		r := h.post(t, chatPath(f.chat.spelled[count%len(f.chat.spelled)], "relevant"), body, "Cache-Control", "no-cache")
		got := want[client.Relevant](t, r, http.StatusOK)
		if got.Mode != mode || len(got.RelevantMessages) != min(count, len(ids)) {
			t.Fatalf("%v finds %d by %s, Weaviate %d by %s", body, len(got.RelevantMessages), got.Mode, len(ids), mode)
		}
		for i, m := range got.RelevantMessages {
			at := slices.Index(ids, m.ID)
			if at < 0 || math.Abs(m.Score-scores[i]) > 1e-5 || math.Abs(m.Score-scores[at]) > 1e-5 {
				t.Fatalf("%v: place %d has %s with %v, Weaviate has %s with %v", body, i, m.ID, m.Score, ids[i], scores[i])
			}
			n := slices.IndexFunc(f.book, func(b client.Message) bool { return b.ID == m.ID })
			if n < 0 || !sameMessage(m.Message, f.book[n]) {
				t.Fatalf("%v finds %+v", body, m)
			}
		}
	}
}

// best are Weaviate's answers without other chats' rows, of a search with so large a limit that count are left. How a hybrid
// search scores depends on its limit.
func (f *foreign) best(t *testing.T, search *pb.SearchRequest, count int) (ids []string, scores []float64) {
	t.Helper()
	roles := slices.Concat(f.roles.user, f.roles.assistant)
	for limit := count; ; limit *= 4 {
		search.Filters = f.filter(roles)
		rows := f.ask(t, search, limit)
		ids, scores = nil, nil
		for _, r := range rows {
			fields := r.GetProperties().GetNonRefProps().GetFields()
			if !f.ours(fields["session_id"]) || !slices.Contains(roles, fields["sender"].GetTextValue()) {
				continue
			}
			score := float64(r.GetMetadata().GetScore())
			if search.NearVector != nil {
				score = 1 - float64(r.GetMetadata().GetDistance())
			}
			ids, scores = append(ids, r.GetMetadata().GetId()), append(scores, score)
		}
		if len(ids) >= count || len(rows) < limit {
			return ids, scores
		}
	}
}
