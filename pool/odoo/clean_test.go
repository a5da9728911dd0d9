package odoo

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWhatIsJSONToPythonAlone(t *testing.T) {
	for _, tt := range []struct{ in, out string }{
		{`NaN`, `null`},
		{`[NaN,Infinity,-Infinity]`, `[null,null,null]`},
		{`{"a": NaN, "b": -1}`, `{"a": null, "b": -1}`},
		{`"NaN \"Infinity"`, `"NaN \"Infinity"`},
		{`{"NaN":"\\",  "b":NaN}`, `{"NaN":"\\",  "b":null}`},
		{`-5`, `-5`},
		{`[NaNNaN]`, `[nullnull]`},
		{"\"a\xffb\"", `"a�b"`},
		{"\"\xff\xfe\xc3\"", `"�"`},
		{"\"\xed\xa0\x80é\xc3\"", `"�é�"`},
		{`"�"`, `"�"`},
		{"\"\x80\"", `"�"`},
		{`"��"`, `"��"`},
		{"\"\u0080\u00ff\"", "\"\u0080\u00ff\""},
		{`"\ud83d\ude00"`, `"\ud83d\ude00"`},
		{`"\ud83d\ude00\ud83d"`, `"\ud83d\ude00\ufffd"`},
		{`"\ud83d\ude00"`, `"\ud83d\ude00"`},
		{`"\ud83d\\ude00"`, `"\ufffd\\ude00"`},
		{`"\ud83dnude00"`, `"\ufffdnude00"`},
		{`"\uD83D\uDE00\u0039\u00Ff\uFFFF"`, `"\uD83D\uDE00\u0039\u00Ff\uFFFF"`},
		{`"\uD9FF\uDE09"`, `"\uD9FF\uDE09"`},
		{`"\ud83d\nde00"`, `"\ufffd\nde00"`},
		{`"\ud9ff"`, `"\ufffd"`},
		{`"\u0041\ud83d"`, `"\u0041\ufffd"`},
		{`"\ud83d"`, `"\ufffd"`},
		{`"\uDE00\uD83D"`, `"\ufffd\ufffd"`},
		{`"\ud83dx\ude00"`, `"\ufffdx\ufffd"`},
		{`"\ud83d\ud83d\ude00"`, `"\ufffd\ud83d\ude00"`},
		{`"\\ud83d"`, `"\\ud83d"`},
		{`"\u00e9\n"`, `"\u00e9\n"`},
		{`"\ud8`, `"\ud8`},
		{`"\`, `"\`},
		{``, ``},
		{"\xff", "\xff"},
	} {
		if got := string(clean([]byte(tt.in))); got != tt.out {
			t.Errorf("%q becomes %q, want %q", tt.in, got, tt.out)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{`{"a":[NaN,-Infinity,"\ud83d\ude00",1.5e3]}`, "\"\xff\\\"\"", `"\uD800\u0041"`, `[Infinity`, `-`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		out := clean(in)
		if !bytes.Equal(in, before) {
			t.Fatal("the answer was changed in place")
		}
		if len(out) > 2*len(in)+8 {
			t.Errorf("%d bytes became %d", len(in), len(out))
		}
		if json.Valid(in) && !json.Valid(out) {
			t.Errorf("%q is JSON, %q is not", in, out)
		}
		if !json.Valid(out) {
			return
		}
		if !utf8.Valid(out) {
			t.Errorf("%q is no UTF-8", out)
		}
		var v any
		if err := json.Unmarshal(out, &v); err != nil {
			return // a number beyond float64
		}
		if n := bytes.Count(out, []byte("\ufffd")) + strings.Count(strings.ToLower(string(out)), `\ufffd`); strings.Count(flat(v), "\ufffd") > n {
			t.Errorf("%q has half a character left", out)
		}
	})
}

// flat is all texts of a JSON value.
func flat(v any) string {
	var b strings.Builder
	switch v := v.(type) {
	case string:
		b.WriteString(v)
	case []any:
		for _, e := range v {
			b.WriteString(flat(e))
		}
	case map[string]any:
		for k, e := range v {
			b.WriteString(k + flat(e))
		}
	}
	return b.String()
}

func TestAnAnswerOfPythonsIsUnderstood(t *testing.T) {
	const odd = `[{"id": 1, "weight": NaN, "max": Infinity, "name": "a` + "\xff" + `\ud800"}]`
	const want = `[{"id": 1, "weight": null, "max": null, "name": "a�\ufffd"}]`
	call := Call{Model: "res.partner", Method: "read", Args: raw(`[1]`)}
	if got, err := overJSON2(answering(200, odd)).Call(t.Context(), call); err != nil || string(got) != want {
		t.Errorf("json2: %s, %v", got, err)
	}
	if got, err := overJSONRPC(answering(200, `{"jsonrpc":"2.0","result":`+odd+`}`)).Call(t.Context(), call); err != nil || string(got) != want {
		t.Errorf("jsonrpc: %s, %v", got, err)
	}
	fault := `{"name":"odoo.exceptions.UserError","message":"no` + "\xff" + `\ud800","arguments":[NaN]}`
	_, err := overJSON2(answering(422, fault)).Call(t.Context(), call)
	if e := wantError(t, err); e.Kind != Rejected || e.Message != "no��" {
		t.Errorf("the error is %s %q", e.Kind, e.Message)
	}
}
