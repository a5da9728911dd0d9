package contract

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"hearth/client"
	"hearth/internal/testing/await"
)

// checks runs hearth check on setups good and bad: it exits 1 if a call that handlers make by default fails, and says what
// to set.
func (s *suite) checks(t *testing.T) {
	t.Run("properties of other names are proposed", s.checkProposesFields)
	t.Run("roles are counted and proposed", s.checkCountsRoles)
	t.Run("tenants", s.checkTenants)
	t.Run("the vectorizer's key", s.checkVectorizer)
	t.Run("classes, keys and models", s.checkOthers)
}

// wantCheck runs hearth check, which must be content or not, and print this.
func (s *suite) wantCheck(t *testing.T, ok bool, env []string, lines ...string) {
	t.Helper()
	out, err := s.tryCommand(t, env, "check")
	if (err == nil) != ok {
		t.Errorf("hearth check ends with %v:\n%s", err, out)
	}
	for _, line := range lines {
		if !strings.Contains(out, line) {
			t.Errorf("hearth check does not print %q:\n%s", line, out)
		}
	}
}

func (s *suite) checkProposesFields(t *testing.T) {
	for i, c := range []struct {
		message, mute       map[string]string
		messageSet, muteSet string
	}{
		{
			map[string]string{"session_id": "text", "role": "text", "content": "text", "timestamp": "date"},
			map[string]string{"session_id": "text", "muted": "boolean"},
			"session_id,role,content,timestamp", "session_id,muted",
		},
		{
			map[string]string{"conversationId": "uuid", "sender": "text", "message": "text", "userName": "text", "tokens": "int"},
			map[string]string{"conversationId": "uuid", "isMuted": "boolean", "mutedUntil": "date"},
			"conversationId,sender,message,_creationTimeUnix", "conversationId,isMuted,mutedUntil",
		},
		{
			map[string]string{"chatId": "int", "speaker": "text", "text": "text", "createdAt": "number"},
			map[string]string{"chatId": "int", "paused": "boolean", "until": "date"},
			"chatId,speaker,text,createdAt", "chatId,paused,until",
		},
	} {
		message, mute, env := s.makeClassesOf(t, fmt.Sprint("K", i), classTypes{c.message, c.mute}, nil)
		classes := []string{"HEARTH_MESSAGE_CLASS=" + message, "HEARTH_MUTE_CLASS=" + mute}
		fields, mutes := "HEARTH_MESSAGE_FIELDS="+c.messageSet, "HEARTH_MUTE_FIELDS="+c.muteSet
		s.wantCheck(t, false, classes, message, fields, mutes)
		s.wantCheck(t, false, env, message, fields, mutes)
		s.wantCheck(t, true, append(classes, fields, mutes), "weaviate: ok", "the class is empty")
	}
	message, _, env := s.makeClassesOf(t, "KNo", classTypes{map[string]string{"a": "text", "b": "int"}, plainTypes().mute}, nil)
	s.wantCheck(t, false, env, message, "HEARTH_MESSAGE_FIELDS", "a, b")
}

func (s *suite) checkCountsRoles(t *testing.T) {
	for i, c := range []struct {
		roles []any
		ok    bool
		lines []string
	}{
		{[]any{"user", "assistant", "assistant"}, true, []string{"assistant 2", "user 1", "of 3 messages"}},
		{[]any{"user", "assistant", "system", "tool", nil, "tool"}, true, []string{"tool 2", "system 1", "(none) 1", "no part of a history"}},
		{[]any{"human", "human", "ai"}, false, []string{"human 2", "ai 1", "HEARTH_MESSAGE_ROLES=human,ai"}},
		{[]any{"human", "User", "User", "ai", "bot", "ai"}, false, []string{"HEARTH_MESSAGE_ROLES=User|human,ai|bot"}},
		{[]any{"user", "bot", "bot"}, false, []string{"bot 2", "HEARTH_MESSAGE_ROLES=user,bot"}},
		{[]any{"user", "assistant", "ai"}, true, []string{"ai 1", "HEARTH_MESSAGE_ROLES=user,"}},
		{[]any{"x", "y"}, false, []string{"x 1", "y 1", "HEARTH_MESSAGE_ROLES"}},
	} {
		message, _, env := s.makeClassesOf(t, fmt.Sprint("R", i), plainTypes(), nil)
		var rows []object
		for _, role := range c.roles {
			o := object{Class: message, ID: uuid.NewString(), Properties: map[string]any{"session_id": "a", "message": "x", "timestamp": "2024-02-29T12:00:00Z"}}
			if role != nil {
				o.Properties["sender"] = role
			}
			rows = append(rows, o)
		}
		s.weaviate.insert(t, rows...)
		s.wantCheck(t, c.ok, env, c.lines...)
	}
}

func (s *suite) checkTenants(t *testing.T) {
	message, mute := s.messageClass+"_CheckTenants", s.muteClass+"_CheckTenants"
	env := []string{"HEARTH_MESSAGE_CLASS=" + message, "HEARTH_MUTE_CLASS=" + mute}
	one := append(slices.Clone(env), "HEARTH_WEAVIATE_TENANT=one")
	s.makeClasses(t, one...)
	t.Cleanup(func() { s.weaviate.dropClass(t, message); s.weaviate.dropClass(t, mute) })
	s.wantCheck(t, true, one)
	s.wantCheck(t, false, env, "HEARTH_WEAVIATE_TENANT")
	s.wantCheck(t, false, append(slices.Clone(env), "HEARTH_WEAVIATE_TENANT=two"), "HEARTH_WEAVIATE_TENANT", "two")
	status, got := s.weaviate.do(t, http.MethodPut, "/v1/schema/"+message+"/tenants", []any{map[string]any{"name": "one", "activityStatus": "INACTIVE"}})
	if status != http.StatusOK {
		t.Fatalf("deactivate a tenant: %d %s", status, got)
	}
	s.wantCheck(t, false, one, "tenant not active", "HEARTH_WEAVIATE_TENANT")
	h := s.start(t, one...)
	for _, r := range []reply{h.get(t, historyPath("a", 10, 5)), h.post(t, chatPath("a", "relevant"), map[string]any{"text": "x"})} {
		wantFinal(t, r, http.StatusBadGateway, "weaviate", "tenant not active")
	}
}

// checkVectorizer checks classes whose vectorizer takes its key with each request.
func (s *suite) checkVectorizer(t *testing.T) {
	module := map[string]any{"text2vec-openai": map[string]any{"vectorizeClassName": false}}
	named := map[string]any{"vectorizer": module, "vectorIndexType": "hnsw"}
	for name, vectors := range map[string]map[string]any{
		"Unnamed": {"vectorizer": "text2vec-openai"}, "Named": {"vectorConfig": map[string]any{"meaning": named}},
	} {
		message, _, env := s.makeClassesOf(t, "V"+name, plainTypes(), vectors)
		o := object{Class: message, ID: uuid.NewString(), Vector: append(make([]float32, 63), 1), Properties: map[string]any{
			"session_id": "a", "sender": "user", "message": "ferry", "timestamp": "2024-02-29T12:00:00Z",
		}}
		if name == "Named" {
			o.Vector, o.Vectors = nil, map[string][]float32{"meaning": o.Vector}
		}
		s.weaviate.insert(t, o)
		s.wantCheck(t, false, env, "near_text: failed", "HEARTH_WEAVIATE_HEADERS")
		h := s.start(t, env...)
		got := want[client.Relevant](t, h.post(t, chatPath("a", "relevant"), map[string]any{"text": "ferry"}), http.StatusOK)
		if got.Mode != "bm25" || len(got.RelevantMessages) != 1 {
			t.Errorf("without a key relevance is %+v", got)
		}
		h.relevant(t, "a", map[string]any{"text": "another ferry"})
		fallsBack := func() bool { return strings.Count(h.log.String(), "falls back") == 1 }
		await.ThatWithin(t, patience, "one line of the log says that relevance falls back", fallsBack)
		p := wantProblem(t, h.post(t, chatPath("a", "messages"), map[string]any{"role": "user", "content": "x"}), http.StatusBadGateway)
		if p.Upstream != "weaviate" || len(p.Items) != 1 || p.Items[0].Outcome != "failed" || !strings.Contains(p.Items[0].Detail, "HEARTH_WEAVIATE_HEADERS") {
			t.Errorf("a message without a key: %+v", p)
		}
		r := h.post(t, chatPath("a", "relevant"), map[string]any{"text": "ferry", "mode": "near_text"})
		wantFinal(t, r, http.StatusBadGateway, "weaviate", "HEARTH_WEAVIATE_HEADERS")
		if s.Weaviate == nil { // a real one would ask the provider
			continue
		}
		env = append(env, "HEARTH_WEAVIATE_HEADERS=X-OpenAI-Api-Key=sk%2Dkey")
		s.wantCheck(t, true, env, "near_text: ok")
		h = s.start(t, env...)
		h.say(t, "b", "user", "the ferry leaves")
		h.say(t, "b", "assistant", "no zeppelin today")
		got = want[client.Relevant](t, h.post(t, chatPath("b", "relevant"), map[string]any{"text": "ferry leaves", "count": 1}), http.StatusOK)
		if got.Mode != "near_text" || len(got.RelevantMessages) != 1 || got.RelevantMessages[0].Content != "the ferry leaves" {
			t.Errorf("with a key relevance is %+v", got)
		}
	}
}

func (s *suite) checkOthers(t *testing.T) {
	_, _, env := s.makeClassesOf(t, "Several", plainTypes(), namedVectors("one", "two"))
	s.wantCheck(t, true, env, "HEARTH_WEAVIATE_VECTOR", "vector: remark")
	s.wantCheck(t, true, append(slices.Clone(env), "HEARTH_WEAVIATE_VECTOR=one"))
	s.wantCheck(t, false, append(slices.Clone(env), "HEARTH_WEAVIATE_VECTOR=three"), "three", "one, two")
	module := map[string]any{"text2vec-openai": map[string]any{}}
	_, _, env = s.makeClassesOf(t, "Makes", plainTypes(), map[string]any{"vectorConfig": map[string]any{
		"one": map[string]any{"vectorizer": module, "vectorIndexType": "hnsw"},
		"two": map[string]any{"vectorizer": map[string]any{"none": map[string]any{}}, "vectorIndexType": "hnsw"},
	}})
	for _, env := range [][]string{env, append(slices.Clone(env), "HEARTH_WEAVIATE_VECTOR=two")} {
		s.wantCheck(t, false, env, "vector one: failed", "HEARTH_WEAVIATE_HEADERS")
		p := wantProblem(t, s.start(t, env...).post(t, chatPath("a", "messages"), client.NewMessage{Role: "user", Content: "x"}), http.StatusBadGateway)
		if len(p.Items) != 1 || p.Items[0].Outcome != "failed" || !strings.Contains(p.Items[0].Detail, "HEARTH_WEAVIATE_HEADERS") {
			t.Errorf("a message without a key: %+v", p)
		}
	}
	p := plainTypes()
	p.message["session_id"] = "text:word"
	_, _, env = s.makeClassesOf(t, "Word", p, nil)
	s.wantCheck(t, true, env, `remark: the chat's property has tokenization "word"`)
	s.wantCheck(t, false, []string{"HEARTH_ODOO_MODELS=res.partner,no.such.model"}, "odoo: model res.partner: ok", "odoo: model no.such.model: failed")
	s.wantCheck(t, false, []string{"HEARTH_MESSAGE_CLASS=" + s.messageClass + "_Missing"}, s.messageClass+"_Missing", "hearth schema")
	if s.WeaviateKey == "" {
		return
	}
	s.wantCheck(t, false, []string{"HEARTH_WEAVIATE_API_KEY=wrong"}, "HEARTH_WEAVIATE_API_KEY")
	s.weaviate.createClass(t, map[string]any{"class": "Hidden", "properties": []any{}})
	s.wantCheck(t, false, []string{"HEARTH_MESSAGE_CLASS=Hidden"}, "Hidden", "missing", "read_")
}
