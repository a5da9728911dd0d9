package chat

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"hearth/pool/odoo"
)

func TestALoadCountsTheMemoryOfItsCall(t *testing.T) {
	const size = 10_000
	long := json.RawMessage(`"` + strings.Repeat("x", size) + `"`)
	for name, c := range map[string]struct {
		call odoo.Call
		want int64
	}{
		"nothing": {odoo.Call{Model: "res.partner", Method: "read"}, 0},
		"args":    {odoo.Call{Model: "res.partner", Method: "read", Args: []json.RawMessage{long, long}}, 2 * size},
		"kwargs":  {odoo.Call{Model: "res.partner", Method: "read", Kwargs: map[string]json.RawMessage{"a": long, strings.Repeat("b", size): nil}}, 2 * size},
		"names":   {odoo.Call{Model: strings.Repeat("m", size), Method: strings.Repeat("n", size)}, 2 * size},
	} {
		key, err := recordKey("identity", c.call)
		if err != nil || key.LoadBytes < c.want || key.LoadBytes > c.want+1000 {
			t.Errorf("%s: %d bytes, want %d and a little: %v", name, key.LoadBytes, c.want, err)
		}
	}
}

func TestACallThatIsNoJSONHasNoKey(t *testing.T) {
	call := odoo.Call{Model: "res.partner", Method: "read", Args: []json.RawMessage{json.RawMessage("[1")}}
	if key, err := recordKey("identity", call); err == nil {
		t.Errorf("got %+v", key)
	}
}

func TestAReplyAroundAValueTakesNoMoreThanItHolds(t *testing.T) {
	value := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
	b := around("{", value, strings.Repeat(" ", 1<<16))
	if cap(b) > len(b)+len(b)/8 {
		t.Errorf("%d bytes for %d", cap(b), len(b))
	}
}

func FuzzAround(f *testing.F) {
	for _, s := range []string{`null`, ` [1, "a b\" \\", {"c" :	-1.5e3}]
`, `"\\"`, `{"a": " ", "\u0020": [ ]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !json.Valid([]byte(value)) {
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(value)); err != nil {
			t.Fatal(err)
		}
		if got := around("<", json.RawMessage(value), ">"); string(got) != "<"+want.String()+">" {
			t.Errorf("around %q is %q, want %q", value, got, want.String())
		}
	})
}
