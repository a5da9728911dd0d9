package cache

import (
	"errors"
	"fmt"
	"testing"
)

// claims is one chat to which writes come with one key.
type claims struct {
	*testing.T
	c *Cache
}

// begin starts a write with a body, and wants the key to be had.
func (x claims) begin(body uint64) *Write {
	x.Helper()
	w := x.c.BeginWrite("chat")
	if _, err := w.Claim("key", body, []Message{{ID: "a"}}); err != nil {
		x.Fatalf("body %d: %v", body, err)
	}
	return w
}

func (x claims) wantTaken(body uint64) {
	x.Helper()
	w := x.c.BeginWrite("chat")
	defer w.End()
	if _, err := w.Claim("key", body, nil); !errors.Is(err, ErrKeyReused) {
		x.Errorf("body %d: %v, want %v", body, err, ErrKeyReused)
	}
}

func TestAKeyIsFreeAgainOnceNothingCanHaveBeenStoredUnderIt(t *testing.T) {
	refused := func(w *Write) { w.Refused(); w.End() }
	for name, scenario := range map[string]func(claims){
		"a refusal frees it": func(x claims) {
			refused(x.begin(1))
			x.begin(2).End()
			x.wantTaken(1)
		},
		"what was stored keeps it": func(x claims) {
			x.begin(1).End()
			x.wantTaken(2)
		},
		"what may have been stored keeps it": func(x claims) {
			w := x.begin(1)
			w.Unknown()
			w.End()
			x.wantTaken(2)
		},
		"a write under way keeps it": func(x claims) {
			w := x.begin(1)
			x.wantTaken(2)
			refused(w)
			x.begin(2).End()
		},
		"a refusal beside a write under way keeps it": func(x claims) {
			first, second := x.begin(1), x.begin(1)
			refused(first)
			x.wantTaken(2)
			second.End() // stored
			x.wantTaken(2)
		},
		"two refusals at the same time free it": func(x claims) {
			first, second := x.begin(1), x.begin(1)
			refused(second)
			x.wantTaken(2)
			refused(first)
			x.begin(2).End()
		},
		"a refusal after something was stored keeps it": func(x claims) {
			x.begin(1).End()
			refused(x.begin(1))
			x.wantTaken(2)
		},
		"a refusal frees its own key alone": func(x claims) {
			other := x.c.BeginWrite("chat")
			if _, err := other.Claim("other", 1, nil); err != nil {
				x.Fatal(err)
			}
			other.End()
			refused(x.begin(1))
			again := x.c.BeginWrite("chat")
			defer again.End()
			if _, err := again.Claim("other", 2, nil); !errors.Is(err, ErrKeyReused) {
				x.Errorf("the other key: %v", err)
			}
		},
		"a claim that gave way to newer ones frees nothing of theirs": func(x claims) {
			w := x.begin(1)
			for i := range mostClaims {
				newer := x.c.BeginWrite("chat")
				if _, err := newer.Claim(string(rune('a'+i)), 1, nil); err != nil {
					x.Fatal(err)
				}
				newer.End()
			}
			x.begin(2).End()
			refused(w)
			x.wantTaken(1)
		},
	} {
		t.Run(name, func(t *testing.T) { scenario(claims{t, newTester(t, Config{}).c}) })
	}
}

func TestAChatRemembersItsLastKeys(t *testing.T) {
	c := newTester(t, Config{}).c
	taken := func(i int) bool {
		w := c.BeginWrite("chat")
		defer w.End()
		_, err := w.Claim(fmt.Sprint(i), 2, nil)
		if err == nil {
			w.Refused()
		}
		return errors.Is(err, ErrKeyReused)
	}
	for i := range mostClaims + 2 {
		w := c.BeginWrite("chat")
		first, err := w.Claim(fmt.Sprint(i), 1, []Message{{ID: "a", Content: "long"}})
		if err != nil || first[0].Content != "" {
			t.Fatal(first, err)
		}
		w.End()
		c.chats.verify(t)
	}
	for i := mostClaims + 1; i >= 2; i-- {
		if !taken(i) {
			t.Errorf("key %d of %d is free", i, mostClaims+2)
		}
	}
	if taken(0) || taken(1) {
		t.Error("the oldest keys are remembered")
	}
}
