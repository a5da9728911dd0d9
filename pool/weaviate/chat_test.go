package weaviate

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestEverySpellingOfAUUIDIsOneChat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")).String()
		spelled := []byte(id)
		for i, c := range spelled {
			if c >= 'a' && rapid.Bool().Draw(t, "upper") {
				spelled[i] -= 'a' - 'A'
			}
		}
		for _, s := range []string{string(spelled), strings.ReplaceAll(string(spelled), "-", "")} {
			if name, err := uuidID.name(s); err != nil || name != id {
				t.Fatalf("%s is called %q, want %s: %v", s, name, id, err)
			}
		}
	})
}

func TestEverySpellingOfAnIntIsOneChat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(-mostInt, mostInt).Draw(t, "n")
		sign, digits := "", strconv.FormatInt(n, 10)
		if n < 0 {
			sign, digits = "-", digits[1:]
		}
		spelled := sign + strings.Repeat("0", rapid.IntRange(0, 40).Draw(t, "zeros")) + digits
		name, err := intID.name(spelled)
		if err != nil || name != strconv.FormatInt(n, 10) || intID.stored(name) != n {
			t.Fatalf("%s is called %q: %v", spelled, name, err)
		}
	})
}

func TestWhatAClassCannotHoldIsNoChat(t *testing.T) {
	for kind, chats := range map[idKind][]string{
		uuidID: {
			"", "x", "{e621e1f8-c36c-495a-93fc-0c247a3e6e5f}", "urn:uuid:e621e1f8-c36c-495a-93fc-0c247a3e6e5f", "e621e1f8-c36c-495a-93fc0c247a3e6e5f-",
			"e621e1f8c36c-495a-93fc-0c247a3e6e5f", "e621e1f8-c36c-495a-93fc-0c247a3e6e5g", "e621e1f8c36c495a93fc0c247a3e6e5", " e621e1f8c36c495a93fc0c247a3e6e5f",
		},
		intID: {"", "-", "+1", "1.0", "1e3", "0x1", "1_0", " 1", "1 ", "--1", "9007199254740992", "-9007199254740992", "1" + strings.Repeat("0", 100), "٣"},
	} {
		for _, chat := range chats {
			name, err := kind.name(chat)
			if _, ok := errors.AsType[*ChatIDError](err); !ok {
				t.Errorf("%q is called %q: %v", chat, name, err)
			}
		}
	}
	if name, err := textID.name(" Any\x00thing "); name != " Any\x00thing " || err != nil {
		t.Errorf("a text is called %q: %v", name, err)
	}
}

func TestAChatIsCalledByItsNameIfTheNameIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]idKind{textID, uuidID, intID}).Draw(t, "kind")
		chat := rapid.OneOf(
			rapid.String(), rapid.StringMatching(`[-+]?0?[0-9]{0,18}`),
			rapid.StringMatching(`[0-9a-fA-F]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}`),
			rapid.StringMatching(`[0-9a-g-]{36}`),
			rapid.SampledFrom([]string{"", "0", "-0", "9007199254740991", "9007199254740992", "-9007199254740991"}),
		).Draw(t, "chat")
		name, err := kind.name(chat)
		if want := err == nil && name == chat; kind.isName([]byte(chat)) != want {
			t.Fatalf("%q of kind %d: %t, its name is %q, %v", chat, kind, !want, name, err)
		}
	})
}
