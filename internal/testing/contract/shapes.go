package contract

import (
	"strings"
	"time"
)

// shape is a class of messages as another program might make it, with a class of mutes.
type shape struct {
	name    string
	chat    chatForm
	time    timeForm
	roles   roleForm
	vectors vectorForm
	env     []string

	messageTenants, muteTenants bool // multi-tenancy
	alias                       bool // Hearth is told another name of the class of messages
	noUntil                     bool // mutes have no end
	notSearchable               bool // by bm25
	noFilters                   bool // no property has an index for filters; texts are found by that of bm25
}

// chatForm is how a class holds chats.
type chatForm struct {
	property map[string]any
	spelled  []string // how callers may name the chat; the first is its name in replies
	stored   any      // as the other program writes it
	held     any      // as REST shows it
	others   []any    // chats like it
}

func textChat(tokenization, chat string, others ...any) chatForm {
	return chatForm{map[string]any{"dataType": []string{"text"}, "tokenization": tokenization}, []string{chat}, chat, chat, others}
}

func uuidChat() chatForm {
	const id = "e621e1f8-c36c-495a-93fc-0c247a3e6e5f"
	upper := strings.ToUpper(id)
	return chatForm{
		map[string]any{"dataType": []string{"uuid"}},
		[]string{id, upper, strings.ReplaceAll(upper, "-", ""), "E621e1f8-c36c-495a-93fc-0c247a3e6e5F"},
		upper, id,
		[]any{"e621e1f8-c36c-495a-93fc-0c247a3e6e50", "e621e1f8-c36c-495a-93fc-0c247a3e6e51"},
	}
}

func intChat(id int64, spelled ...string) chatForm {
	return chatForm{map[string]any{"dataType": []string{"int"}}, spelled, id, float64(id), []any{id + 1, -id - 1, id*10 + 1}}
}

// timeForm is how a class holds times.
type timeForm struct {
	kind    string // of the property; empty: there is none
	write   func(time.Time) any
	written func(time.Time) any // by Hearth
	exact   time.Duration       // what a time is cut to
}

func epoch(kind string, exact time.Duration, write func(time.Time) float64) timeForm {
	as := func(t time.Time) any { return write(t.Truncate(exact)) }
	return timeForm{kind, as, as, exact}
}

func seconds(exact time.Duration) func(time.Time) float64 {
	return func(t time.Time) float64 { return float64(t.Truncate(exact).UnixMicro()) / 1e6 }
}

func milliseconds(t time.Time) float64 { return float64(t.UnixMilli()) }

func layout(kind, layout, zone string, offset, exact time.Duration) timeForm {
	as := func(t time.Time) any {
		return t.Truncate(exact).In(time.FixedZone("", int(offset.Seconds()))).Format(layout) + zone
	}
	return timeForm{kind, as, as, exact}
}

// isoformat is Python's: without a fraction at 0 µs, where Hearth writes one.
func isoformat(separator, zone string, offset time.Duration) timeForm {
	whole := layout("text", "2006-01-02"+separator+"15:04:05", zone, offset, time.Microsecond)
	f := layout("text", "2006-01-02"+separator+"15:04:05.000000", zone, offset, time.Microsecond)
	f.write = func(t time.Time) any {
		if t.Truncate(time.Microsecond).Nanosecond() == 0 {
			return whole.write(t)
		}
		return f.written(t)
	}
	return f
}

func dateTime() timeForm {
	return layout("date", "2006-01-02T15:04:05.999999999", "Z", 0, time.Nanosecond)
}

// roleForm is how a class names the roles.
type roleForm struct {
	env             []string
	user, assistant []string // the first is what Hearth writes
	others          []any    // roles that are no part of a history
}

func plainRoles() roleForm {
	return roleForm{nil, []string{"user"}, []string{"assistant"}, []any{"system", "tool", nil, "User", "assistant bot"}}
}

func mappedRoles() roleForm {
	return roleForm{
		[]string{"HEARTH_MESSAGE_ROLES=human|user,ai|bot|assistant"},
		[]string{"human", "user"},
		[]string{"ai", "bot", "assistant"},
		[]any{"system", "tool", nil, "Human", "AI", "human ai"},
	}
}

// vectorForm is what vectors a class has.
type vectorForm struct {
	class     map[string]any
	name      string // of the vector that is searched by; empty: the class's only one, without a name
	all       []string
	ambiguous bool // Hearth cannot tell which vector is meant
}

func namedVectors(names ...string) map[string]any {
	config := map[string]any{}
	for _, name := range names {
		config[name] = map[string]any{"vectorizer": map[string]any{"none": map[string]any{}}, "vectorIndexType": "hnsw"}
	}
	return map[string]any{"vectorConfig": config}
}

// shapes are all kinds of chats, roles, times and vectors that Hearth promises to serve, each at least once.
func shapes() []shape {
	field := textChat("field", "1-1", "1-12", "1-1 2")
	milli, micro := time.Millisecond, time.Microsecond
	return []shape{
		{name: "text by field, dates", chat: field, time: dateTime(), roles: plainRoles()},
		{name: "text by word, roles mapped, dates", chat: textChat("word", "1-1", "1-12", "2-1", "1 1"), time: dateTime(), roles: mappedRoles()},
		{
			name: "text by lowercase, seconds", chat: textChat("lowercase", "Chat One", "chat one", "Chat One Two"),
			time: epoch("int", time.Second, seconds(time.Second)), roles: plainRoles(),
		},
		{
			name: "text by whitespace, milliseconds", chat: textChat("whitespace", "Chat One", "One Chat", "Chat One Two"),
			time: epoch("int", milli, milliseconds), roles: mappedRoles(),
		},
		{name: "uuid, dates, mutes without an end", chat: uuidChat(), time: dateTime(), roles: plainRoles(), noUntil: true},
		{
			name: "uuid, fractions of seconds", chat: uuidChat(), roles: mappedRoles(),
			time: epoch("number", micro, seconds(micro)),
		},
		{
			name: "int, milliseconds in a number", chat: intChat(4711, "4711", "004711"), roles: plainRoles(),
			time: epoch("number", milli, milliseconds),
		},
		{
			name: "negative int, dates, mutes without an end", chat: intChat(-1001234567890, "-1001234567890", "-001001234567890"),
			time: dateTime(), roles: mappedRoles(), noUntil: true,
		},
		{name: "text times in Z with three digits", chat: field, time: layout("text", "2006-01-02T15:04:05.000", "Z", 0, milli), roles: plainRoles()},
		{name: "text times in Z without a fraction", chat: field, time: layout("text", "2006-01-02T15:04:05", "Z", 0, time.Second), roles: plainRoles()},
		{name: "isoformat in UTC", chat: uuidChat(), time: isoformat("T", "+00:00", 0), roles: mappedRoles()},
		{name: "isoformat east", chat: field, time: isoformat("T", "+05:30", 5*time.Hour+30*time.Minute), roles: plainRoles()},
		{name: "isoformat west", chat: field, time: isoformat("T", "-0800", -8*time.Hour), roles: plainRoles()},
		{name: "isoformat without a zone", chat: textChat("word", "1-1", "1-12", "2-1"), time: isoformat("T", "", 0), roles: mappedRoles()},
		{name: "a space between date and time", chat: intChat(0, "0", "-0", "000"), time: isoformat(" ", "", 0), roles: plainRoles()},
		{name: "creation time", chat: field, time: timeForm{exact: milli}, roles: mappedRoles()},
		{name: "creation time of uuids", chat: uuidChat(), time: timeForm{exact: milli}, roles: plainRoles(), noUntil: true},
		{name: "messages have tenants", chat: field, time: dateTime(), roles: plainRoles(), messageTenants: true},
		{name: "mutes have tenants", chat: uuidChat(), time: dateTime(), roles: plainRoles(), muteTenants: true},
		{name: "an alias", chat: field, time: dateTime(), roles: mappedRoles(), alias: true},
		{
			name: "one named vector", chat: field, time: dateTime(), roles: plainRoles(),
			vectors: vectorForm{class: namedVectors("meaning"), name: "meaning", all: []string{"meaning"}},
		},
		{
			name: "several named vectors, one chosen", chat: field, time: dateTime(), roles: plainRoles(), env: []string{"HEARTH_WEAVIATE_VECTOR=two"},
			vectors: vectorForm{class: namedVectors("one", "two"), name: "two", all: []string{"one", "two"}},
		},
		{
			name: "several named vectors", chat: field, time: dateTime(), roles: plainRoles(),
			vectors: vectorForm{class: namedVectors("one", "two"), name: "two", all: []string{"one", "two"}, ambiguous: true},
		},
		{name: "a flat index", chat: field, time: dateTime(), roles: plainRoles(), vectors: vectorForm{class: map[string]any{"vectorIndexType": "flat"}}},
		{name: "no filters, chats by words", chat: textChat("word", "1-1", "1-12", "2-1"), time: dateTime(), roles: mappedRoles(), noFilters: true},
		{name: "content that bm25 cannot search", chat: field, time: dateTime(), roles: plainRoles(), notSearchable: true},
	}
}
