package monitor

import (
	"bytes"
	"testing"
)

func TestAnInvocationIsTheRootOfItsTrace(t *testing.T) {
	for trace, want := range map[string]string{
		"Root=1-5759e988-bd862e3fe1be46a994272793":                    "1-5759e988-bd862e3fe1be46a994272793",
		"Root=1-a;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:a:0":    "1-a",
		"Self=1-67891234-12456789abcdef012345678; Root=1-b ;Parent=x": "1-b",
		"":                "",
		"1-a":             "",
		"Parent=Root=1-a": "",
		"Root=":           "",
		"Root=a\x01":      "",
		"Root=1-a;Parent=" + string(bytes.Repeat([]byte("a"), maxTrace)): "",
		"Root=é": "",
		"Root=" + string(bytes.Repeat([]byte("a"), maxRoot+1)): "",
	} {
		if got := string(rootOf([]byte(trace))); got != want {
			t.Errorf("%q: %q, want %q", trace, got, want)
		}
	}
}

func FuzzRootOf(f *testing.F) {
	f.Add([]byte("Root=1-a;Parent=b"))
	f.Add([]byte(";;Root= ;Root=x"))
	f.Fuzz(func(t *testing.T, trace []byte) {
		root := rootOf(trace)
		if len(root) > maxRoot || len(root) > 0 && !bytes.Contains(trace, append([]byte("Root="), root...)) || bytes.ContainsAny(root, ";\n ") {
			t.Errorf("%q: %q", trace, root)
		}
	})
}
