package weaviate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/client/wire"
	"hearth/pool"
)

// Verdict of a [Finding].
type Verdict string

// The verdicts.
const (
	OK     Verdict = "ok"
	Remark Verdict = "remark" // requests work, though not as well as they might, or it could not be proven
	Failed Verdict = "failed" // a call that handlers make by default fails
)

// Finding is what became of one question of a [Client.Check], and what to set if it failed.
type Finding struct {
	Question string
	Verdict
	Detail string
}

// check is one run of Check.
type check struct {
	*Client
	findings []Finding
}

// Check asks every question that requests will ask, with the data of the classes themselves, and reports each.
func (c *Client) Check(ctx context.Context) []Finding {
	k := &check{Client: c}
	if k.server(ctx) {
		k.messages(ctx)
		k.mutes(ctx)
		k.write(ctx)
	}
	return k.findings
}

func (k *check) say(question string, v Verdict, format string, args ...any) {
	k.findings = append(k.findings, Finding{question, v, fmt.Sprintf(format, args...)})
}

// failed reports an error and what to do about it, and says whether there was one.
func (k *check) failed(question string, err error) bool {
	if err == nil {
		return false
	}
	detail := strings.TrimPrefix(err.Error(), "weaviate: ")
	if e, ok := errors.AsType[*Error](err); ok {
		detail = e.Message
	} else if _, ok := errors.AsType[*pool.RedirectError](err); !ok && !errors.Is(err, pool.ErrTooLarge) {
		detail = pool.Reason(err)
		if e, ok := errors.AsType[*pool.Error](err); ok {
			detail = e.Explain()
		}
	}
	k.say(question, Failed, "%s", detail)
	return true
}

func (k *check) server(ctx context.Context) bool {
	if k.failed("server", k.Ready(ctx)) {
		return false
	}
	if _, err := k.cfg.GRPC.Do(ctx, Ping()); k.failed("server", err) {
		return false
	}
	var meta struct {
		Version string `json:"version"`
	}
	version := "of a version that it does not tell"
	resp, err := k.cfg.REST.Do(k.credentials.with(ctx), pool.Request{Method: http.MethodGet, Path: "/v1/meta"})
	if err == nil && resp.Status == http.StatusOK && json.Unmarshal(resp.Body, &meta) == nil && meta.Version != "" {
		version = meta.Version
	}
	k.say("server", OK, "Weaviate %s; reads over gRPC at %s, writes over REST at %s", version, k.cfg.GRPC.BaseURL(), k.cfg.REST.BaseURL())
	return true
}

// class loads what is known of a class, and reports what is wrong with it.
func (k *check) class(ctx context.Context, l *classLoader, propose func() string) (*classInfo, bool) {
	question := "class " + l.name
	class, err := l.load(ctx)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
		k.say(question, Failed, "%s; there are: %s", e.Message, listed(k.classNames(ctx)))
		return nil, false
	}
	if k.failed(question, err) {
		return nil, false
	}
	switch {
	case class.hidden:
		k.say(question, Remark, "its schema is not shown (403): the class is missing, or this user's role lacks read_collections; it is taken for one that `hearth schema` makes")
	case class.fault != nil:
		detail := class.fault.Message
		if better := propose(); better != "" && class.fault.Kind == WrongClass {
			detail += "; try " + better
		}
		k.say(question, Failed, "%s", detail)
		return nil, false
	case class.name != l.name:
		k.say(question, OK, "an alias of %s", class.name)
	default:
		k.say(question, OK, "")
	}
	if class.mixing != "" {
		k.say(question, Remark, "the chat's property has tokenization %q, not \"field\": searches find other chats too, which are left out at a cost", class.mixing)
	}
	return class, true
}

func (k *check) messages(ctx context.Context) {
	class, ok := k.class(ctx, k.message, func() string { return k.proposeMessageFields(ctx) })
	if !ok {
		return
	}
	if rows, err := k.some(ctx, class); !k.failed("roles", err) {
		k.roles(rows)
		k.times(class, rows)
	}
	sample, err := k.sample(ctx, class)
	if k.failed("history", err) {
		return
	}
	pages, err := k.Recent(ctx, sample.chat, []wire.Role{wire.RoleUser, wire.RoleAssistant}, 10, 50)
	if !k.failed("history", err) {
		k.say("history", OK, "chat %q: %d of the user's messages, %d of the assistant's", sample.chat, len(pages[0].Messages), len(pages[1].Messages))
	}
	k.relevance(ctx, class, sample)
	k.otherVectors(ctx, class)
}

// classNames are the classes that the user may see.
func (k *check) classNames(ctx context.Context) (names []string) {
	got, err := k.schema.Getter().Do(ctx)
	if err != nil {
		return nil
	}
	for _, class := range got.Classes {
		names = append(names, class.Class)
	}
	slices.Sort(names) // the server's order changes
	return names
}

// sample is a message of the class. If the class is empty, the message is made up.
type sample struct {
	chat, text string
	vector     []float32
}

func (k *check) sample(ctx context.Context, class *classInfo) (s sample, err error) {
	m := k.cfg.Message
	s.chat = map[idKind]string{uuidID: "00000000-0000-0000-0000-000000000000", intID: "0"}[class.chatID]
	if s.chat == "" {
		s.chat = "hearth-check"
	}
	s.text = "hello"
	req := &pb.SearchRequest{
		Filters: anyOf(m.Role, k.stored(wire.RoleUser, wire.RoleAssistant)), Limit: 1,
		Properties: &pb.PropertiesRequest{NonRefProperties: []string{m.ChatID, m.Content}},
		Metadata:   &pb.MetadataRequest{Uuid: true, Vector: class.vector == ""},
	}
	if class.vector != "" && class.ambiguous == "" {
		req.Metadata.Vectors = []string{class.vector}
	}
	rows, err := k.ask(ctx, class, req)
	if err != nil || len(rows) == 0 {
		return s, err
	}
	r := rows[0]
	if chat := r.chat(m.ChatID); chat != "" {
		s.chat = chat
	}
	if words := strings.Fields(func() string { t, _ := r.text(m.Content); return t }()); len(words) > 0 {
		s.text = strings.Join(words[:min(5, len(words))], " ")
	}
	for _, v := range r.vectors {
		if v.name == class.vector {
			s.vector = fromLittleEndian([]byte(v.littleEndian))
		}
	}
	return s, nil
}

// relevance asks by bm25, and in the mode that auto takes if that is another one.
func (k *check) relevance(ctx context.Context, class *classInfo, s sample) {
	q := Query{Chat: s.chat, Text: s.text, Mode: BM25, Roles: []wire.Role{wire.RoleUser, wire.RoleAssistant}, Count: 5}
	auto := k.autoMode(class, q)
	switch _, _, err := k.Relevant(ctx, q); {
	case err == nil:
		k.say("bm25", OK, "")
	case auto == BM25:
		k.failed("bm25", err)
	default:
		k.say("bm25", Remark, "%v", err)
	}
	switch {
	case class.ambiguous != "" && k.cfg.Vector != "":
		k.say("vector", Failed, "%s", class.ambiguous)
	case class.ambiguous != "":
		k.say("vector", Remark, "%s; until then relevance is by bm25, and messages with a vector are refused", class.ambiguous)
	case auto == NearText:
		q.Mode = NearText
		if _, _, err := k.Relevant(ctx, q); !k.failed("near_text", err) {
			k.say("near_text", OK, "")
		}
	case len(s.vector) > 0:
		q.Mode, q.Vector = NearVector, s.vector
		if _, _, err := k.Relevant(ctx, q); !k.failed("near_vector", err) {
			k.say("near_vector", OK, "vectors of %d numbers", len(s.vector))
		}
	default:
		k.say("vector", Remark, "not proven: the class has no vectorizer, and the message looked at has no vector")
	}
}

// otherVectors asks by the vectors that the server makes of messages and that Hearth does not search by. Without the keys of their
// vectorizers the server accepts no message.
func (k *check) otherVectors(ctx context.Context, class *classInfo) {
	for _, name := range class.made {
		if name == "" || name == class.vector {
			continue
		}
		_, err := k.ask(ctx, class, &pb.SearchRequest{
			NearText: &pb.NearTextSearch{Query: []string{"hello"}, Targets: &pb.Targets{TargetVectors: []string{name}}},
			Limit:    1, Metadata: &pb.MetadataRequest{Uuid: true},
		})
		k.failed("vector "+name, err)
	}
}

// mostSampled is how many rows are looked at for the values that they hold.
const mostSampled = 10_000

// roles counts the roles that messages have.
func (k *check) roles(rows []row) {
	m := k.cfg.Message
	counts := map[string]int{}
	for _, r := range rows {
		value, _ := r.text(m.Role)
		counts[value]++
	}
	var found, others []string
	sides := map[string]bool{}
	for _, value := range sortedKeys(counts) {
		found = append(found, fmt.Sprintf("%s %d", shownValue(value), counts[value]))
		if role := k.roleOf(value); role == wire.RoleUser || role == wire.RoleAssistant {
			sides[role] = true
		} else {
			others = append(others, shownValue(value))
		}
	}
	detail := fmt.Sprintf("of %d messages: %s", len(rows), listed(found))
	proposal := proposeRoles(counts, m.User, m.Assistant)
	if proposal != "" {
		proposal = ": set HEARTH_MESSAGE_ROLES=" + proposal
	}
	switch {
	case len(rows) == 0:
		k.say("roles", Remark, "the class is empty: is HEARTH_MESSAGE_CLASS the one with the messages?")
	case len(sides) == 0:
		k.say("roles", Failed, "%s; none is of HEARTH_MESSAGE_ROLES, so every history is empty%s", detail, proposal)
	case len(sides) == 1 && proposal != "":
		k.say("roles", Failed, "%s; all of HEARTH_MESSAGE_ROLES are of one side, so every history is half%s", detail, proposal)
	case len(others) > 0:
		k.say("roles", Remark, "%s; no part of a history: %s%s", detail, strings.Join(others, ", "), proposal)
	default:
		k.say("roles", OK, "%s", detail)
	}
}

// times looks for messages without a time, because the server may leave them out of what it sorts by time. It also looks for chats whose
// times are written in forms that cannot be sorted together.
func (k *check) times(class *classInfo, rows []row) {
	if class.time == creationTime {
		return
	}
	m, without := k.cfg.Message, 0
	chats, faults := map[string]*times{}, map[string]bool{}
	var fault error
	for _, r := range rows {
		if kind := r.value(m.CreatedAt).kind; kind == noKind || kind == nullKind {
			without++
			continue
		}
		chat := r.chat(m.ChatID)
		if chats[chat] == nil {
			chats[chat] = &times{class: class, property: m.CreatedAt}
		}
		if _, err := chats[chat].read(r); err != nil {
			faults[chat], fault = true, cmp.Or(fault, err)
		}
	}
	if without > 0 {
		k.say("times", Remark, "%d of %d messages have no %s: Weaviate may leave them out of a history, where they count as the oldest", without, len(rows), m.CreatedAt)
	}
	if fault != nil {
		k.say("times", Remark, "the histories of %d of %d chats may be errors: %s", len(faults), len(chats), strings.TrimPrefix(fault.Error(), "weaviate: "))
	}
}

// some reads chat, role and time of as many messages as one answer has room for.
func (k *check) some(ctx context.Context, class *classInfo) ([]row, error) {
	properties := []string{k.cfg.Message.ChatID, k.cfg.Message.Role}
	if class.time != creationTime {
		properties = append(properties, k.cfg.Message.CreatedAt)
	}
	for limit := mostSampled; ; {
		rows, asked, err := k.askUpTo(ctx, class, limit, &pb.SearchRequest{
			Properties: &pb.PropertiesRequest{NonRefProperties: properties}, Metadata: &pb.MetadataRequest{Uuid: true},
		})
		if e, ok := errors.AsType[*pool.TooLargeError](err); ok && asked > 1 {
			limit = smaller(asked, e)
			continue
		}
		return rows, err
	}
}

func sortedKeys(counts map[string]int) []string {
	keys := make([]string, 0, len(counts))
	for key := range counts {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	return keys
}

func shownValue(value string) string {
	if value == "" {
		return "(none)"
	}
	return value
}

func (k *check) mutes(ctx context.Context) {
	class, ok := k.class(ctx, k.mute, func() string { return k.proposeMuteFields(ctx) })
	if !ok {
		return
	}
	chat := map[idKind]string{uuidID: "00000000-0000-0000-0000-000000000000", intID: "0", textID: "hearth-check"}[class.chatID]
	rows, err := k.ask(ctx, class, &pb.SearchRequest{
		Limit: 1, Properties: &pb.PropertiesRequest{NonRefProperties: []string{k.cfg.Mute.ChatID}}, Metadata: &pb.MetadataRequest{Uuid: true},
	})
	if k.failed("mute", err) {
		return
	}
	if len(rows) > 0 && rows[0].chat(k.cfg.Mute.ChatID) != "" {
		chat = rows[0].chat(k.cfg.Mute.ChatID)
	}
	if m, err := k.Mute(ctx, chat); !k.failed("mute", err) {
		k.say("mute", OK, "chat %q: muted is %t", chat, m.Muted)
	}
}
