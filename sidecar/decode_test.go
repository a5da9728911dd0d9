package sidecar

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTheFirstFaultNamesItsField(t *testing.T) {
	for body, want := range map[string]string{
		``: "body", `[]`: "body", `"x"`: "body", `{`: "body", `{"n":1}x`: "body", `null`: "body",
		`{"n":"1"}`: "n", `{"n":1.5}`: "n", `{"n":0}`: "n", `{"n":11}`: "n", `{"n":99999999999999999999}`: "n",
		`{"s":1}`: "s", `{"s":""}`: "s", `{"s":"12345678901"}`: "s", `{"s":"\ud800"}`: "s", "{\"s\":\"\xff\"}": "s", `{"s":"\\ud800"}`: "",
		`{"v":[]}`: "v", `{"v":[1,"x"]}`: "v", `{"v":[1e39]}`: "v", `{"v":1}`: "v", `{"v":[1,null,3]}`: "v", `{"v":[ null ]}`: "v",
		`{"r":[null]}`: "r", `{"r":["user",null]}`: "r", `{"r":[]}`: "r", `{"r":["bot"]}`: "r", `{"r":["system"]}`: "", `{"r":null}`: "",
		`{"t":"yesterday"}`: "t", `{"t":"2026-01-01 00:00:00"}`: "t", `{"t":"1500-01-01T00:00:00Z"}`: "t", `{"t":1}`: "t",
		`{"f":1}`: "f", `{"o":"x"}`: "o", `{"unknown":1}`: "unknown", `{"S":"x"}`: "S",
		`{"n":1,"s":"x","v":[1],"t":"2026-01-01T00:00:00+02:00","f":true,"o":"a"}`: "",
		`{"n":null,"s":null,"v":null,"t":null,"f":null,"o":null}`:                  "",
		`{"s":"😀\ud83d\ude00"}`:                                                    "",
	} {
		o := decodeObject([]byte(body), "", nil)
		o.number("n", 5, 1, 10)
		o.text("s", "d", 1, 10)
		o.vector("v")
		o.roles("r")
		o.instant("t")
		o.flag("f")
		o.oneOf("o", "a", "a", "b")
		o.rejectUnknown()
		got := ""
		if o.fault != nil {
			got = o.fault.Field
		}
		if got != want {
			t.Errorf("%s: field %q, want %q", body, got, want)
		}
	}
}

func TestDefaultsStandInForWhatIsAbsent(t *testing.T) {
	o := decodeObject([]byte(`{"n":null}`), "", nil)
	if n, s := o.number("n", 5, 1, 10), o.text("s", "d", 1, 10); n != 5 || s != "d" || o.fault != nil {
		t.Error(n, s, o.fault)
	}
}

func TestMessagesOfAnArrayAreNamedByPlace(t *testing.T) {
	s := newServer(t, Config{MappedProperties: []string{"chat_id", "role", "content", "created_at"}})
	good := `{"role":"user","content":"x"}`
	for body, want := range map[string]string{
		`[]`: "body", `[` + strings.Repeat(good+",", 100) + good + `]`: "body",
		`[` + good + `,7]`: "[1]", `[` + good + `,{"role":"bot","content":"x"}]`: "[1].role",
		`{"content":"x"}`: "role", `{"role":"user"}`: "content", `{"role":"user","content":"x","id":""}`: "id",
		`{"role":"user","content":"x","id":"` + strings.Repeat("x", 129) + `"}`:           "id",
		`[{"role":"user","content":"x","id":"1"},{"role":"user","content":"x","id":"1"}]`: "[1].id",
		`{"role":"user","content":"x","properties":{"chat_id":"y"}}`:                      "properties",
		`{"role":"user","content":"x","properties":{"Chat_id":"victim"}}`:                 "properties", // Weaviate takes it for chat_id
		`{"role":"user","content":"x","properties":[]}`:                                   "properties",
		`{"role":"user","content":"x","colour":"red"}`:                                    "colour",
		good: "", `[` + good + `]`: "",
	} {
		_, err := s.decodeMessages([]byte(body))
		got := ""
		if err != nil {
			got = s.problemOf(err).Field
		}
		if got != want {
			t.Errorf("%.80s: field %q, want %q", body, got, want)
		}
	}
}

// FuzzText holds decoding against encoding/json: what is let in is the string that was sent, with nothing replaced.
func FuzzText(f *testing.F) {
	for _, s := range []string{`"a"`, `"\ud83d\ude00"`, `"\ud800"`, `"\ud800\ud800"`, `"\\ud800"`, `"\\\ud800"`, `"\udc00\ud800"`, `"\uD83D\uDE00x"`, `"\ud83d\n"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		body := append(append([]byte(`{"s":`), raw...), '}')
		o := decodeObject(body, "", nil)
		got, ok := o.stringOf("s")
		if !ok {
			return
		}
		if !utf8.ValidString(got) {
			t.Errorf("%s was let in as %q", raw, got)
		}
		// Only a replacement that was sent may be there.
		var want struct {
			S string `json:"s"`
		}
		if err := json.Unmarshal(body, &want); err != nil || got != want.S {
			t.Errorf("%s: %q, want %q (%v)", raw, got, want.S, err)
		}
		sent := strings.Count(string(raw), "\uFFFD") + strings.Count(strings.ToLower(string(raw)), `\ufffd`)
		if strings.Count(got, "\uFFFD") > sent {
			t.Errorf("%s lost a character: %q", raw, got)
		}
	})
}

// FuzzObject holds decoding against encoding/json: the same bodies are let in, with the same fields.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, ` {"a":1, "a" : [2,{"b":"]}"}] , "\u0062":"\"" , "":null}`, `{"a":1}}`, `{"a":01}`, "{\"a\":\"\x00\"}", `{"a":{"a":1},"b":-0.5e+3}`, `{"a":1,}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want map[string]json.RawMessage
		valid := json.Unmarshal(body, &want) == nil && want != nil
		o := decodeObject(body, "", nil)
		if valid != (o.fault == nil) {
			t.Fatalf("%s: %v, by encoding/json %t", body, o.fault, valid)
		}
		for _, m := range o.fields {
			if !utf8.ValidString(m.name) {
				continue // encoding/json replaces what is not UTF-8
			}
			if value, ok := o.value(m.name); ok && value != string(want[m.name]) || !ok && string(want[m.name]) != "null" && o.fault == nil {
				t.Fatalf("%s: %q is %s, want %s", body, m.name, value, want[m.name])
			}
		}
		if len(o.fields) < len(want) {
			t.Fatalf("%s: %d fields, want %d", body, len(o.fields), len(want))
		}
	})
}
