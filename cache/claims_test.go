package cache

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"hearth/client/wire"
)

// claims is one chat to which writes come with one key.
type claims struct {
	*testing.T
	c *Cache
}

// claim begins a write with a key and a body.
func (x claims) claim(key string, body uint64) (*MessageWrite, error) {
	return x.c.BeginMessages(x.Context(), "chat", Draft{Messages: []wire.Message{{ID: "a", Content: "long"}}, Key: key, Body: body})
}

// begin starts a write with a body, and wants the key to be had.
func (x claims) begin(body uint64) *MessageWrite {
	x.Helper()
	w, err := x.claim("key", body)
	if err != nil {
		x.Fatalf("body %d: %v", body, err)
	}
	return w
}

func (x claims) wantTaken(key string, body uint64) {
	x.Helper()
	w, err := x.claim(key, body)
	if !errors.Is(err, ErrKeyReused) {
		x.Errorf("key %s, body %d: %v, want %v", key, body, err, ErrKeyReused)
	}
	if err == nil {
		w.End()
	}
}

// stored ends a write that has stored its messages.
func (x claims) stored(w *MessageWrite) {
	x.Helper()
	if err := w.Commit(x.Context(), w.Messages()); err != nil {
		x.Error(err)
	}
	w.End()
}

func TestAKeyIsFreeAgainOnceNothingCanHaveBeenStoredUnderIt(t *testing.T) {
	for name, scenario := range map[string]func(claims){
		"a refusal frees it": func(x claims) {
			x.begin(1).End()
			x.stored(x.begin(2))
			x.wantTaken("key", 1)
		},
		"what was stored keeps it": func(x claims) {
			x.stored(x.begin(1))
			x.wantTaken("key", 2)
		},
		"what may have been stored keeps it": func(x claims) {
			w := x.begin(1)
			if err := w.Unknown(x.Context()); err != nil {
				x.Error(err)
			}
			w.End()
			x.wantTaken("key", 2)
		},
		"a write under way keeps it": func(x claims) {
			w := x.begin(1)
			x.wantTaken("key", 2)
			w.End()
			x.begin(2).End()
		},
		"a refusal beside a write under way keeps it": func(x claims) {
			first, second := x.begin(1), x.begin(1)
			first.End()
			x.wantTaken("key", 2)
			x.stored(second)
			x.wantTaken("key", 2)
		},
		"two refusals at the same time free it": func(x claims) {
			first, second := x.begin(1), x.begin(1)
			second.End()
			x.wantTaken("key", 2)
			first.End()
			x.begin(2).End()
		},
		"a refusal after something was stored keeps it": func(x claims) {
			x.stored(x.begin(1))
			x.begin(1).End()
			x.wantTaken("key", 2)
		},
		"a refusal frees its own key alone": func(x claims) {
			other, err := x.claim("other", 1)
			if err != nil {
				x.Fatal(err)
			}
			x.stored(other)
			x.begin(1).End()
			x.wantTaken("other", 2)
		},
		"a claim that gave way to newer ones frees nothing of theirs": func(x claims) {
			w := x.begin(1)
			for i := range maxClaims {
				newer, err := x.claim(string(rune('a'+i)), 1)
				if err != nil {
					x.Fatal(err)
				}
				x.stored(newer)
			}
			x.stored(x.begin(2))
			w.End()
			x.wantTaken("key", 1)
		},
	} {
		t.Run(name, func(t *testing.T) { scenario(claims{t, newTester(t, Config{}).c}) })
	}
}

func TestARepeatedRequestWritesTheSameMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := claims{t, newTester(t, Config{}).c}
		first := x.begin(1)
		x.stored(first)
		time.Sleep(time.Hour)
		again := x.begin(1)
		defer again.End()
		if !slices.Equal(again.Messages(), first.Messages()) || len(first.Messages()) != 1 {
			t.Errorf("%v, and at first %v", again.Messages(), first.Messages())
		}
		other, err := x.c.BeginMessages(t.Context(), "chat", Draft{Messages: []wire.Message{{ID: "a"}}})
		if err != nil {
			t.Fatal(err)
		}
		defer other.End()
		if m := other.Messages()[0]; m.CreatedAt.Sub(first.Messages()[0].CreatedAt) != time.Hour {
			t.Errorf("a request without a key: %v", m)
		}
	})
}

func TestAChatRemembersItsLastKeys(t *testing.T) {
	x := claims{t, newTester(t, Config{}).c}
	for i := range maxClaims + 2 {
		w, err := x.claim(fmt.Sprint(i), 1)
		if err != nil || w.Messages()[0].Content != "" {
			t.Fatal(w, err)
		}
		x.c.chats.verify(t) // the key counts while the write is under way
		x.stored(w)
		x.c.chats.verify(t)
	}
	for i := maxClaims + 1; i >= 2; i-- {
		x.wantTaken(fmt.Sprint(i), 2)
	}
	for _, oldest := range []string{"0", "1"} {
		w, err := x.claim(oldest, 2)
		if err != nil {
			t.Fatalf("key %s is remembered: %v", oldest, err)
		}
		w.End()
	}
}
