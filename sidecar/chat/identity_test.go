package chat

import (
	"testing"
)

func TestObjectIDs(t *testing.T) {
	// Stored objects are found again by these: they must never change. (Python: uuid5(namespace, "2:id4:chat7:message"))
	if got := objectID("id", "chat", "message"); got != "692657ed-1464-5eae-a323-03646b63e676" {
		t.Errorf("objectID changed: %s", got)
	}
	seen := map[string][]string{}
	for _, parts := range [][]string{
		{"id", "a", "bc"},
		{"id", "ab", "c"},
		{"id", "abc", ""},
		{"id", "", "abc"},
		{"ida", "b", "c"},
		{"id", "a", "b", "c"},
		{"id", "a1:b", "c"},
		{"key", "a", "bc"},
		{"id", "a", "b\x00c"},
	} {
		id := objectID(parts...)
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q share %s", parts, other, id)
		}
		seen[id] = parts
	}
}
