package cache

import (
	"testing"

	"hearth/internal/clock"
)

func TestMarksCountUntilTheyAreForgotten(t *testing.T) {
	m := newMarks(1 << 20)
	add := func(chat string, now clock.Instant, marks int64) {
		t.Helper()
		m.add(chat, lost{true, now}, now)
		if got := m.bytes(); got != marks*markBytes {
			t.Errorf("%q: %d bytes, want %d marks of %d", chat, got, marks, markBytes)
		}
	}
	add("first", clock.Instant{}, 1)
	add("second", clock.Instant{Mono: replicaLag - 1}, 2)
	add("third", clock.Instant{Mono: replicaLag}, 3)
	add("fourth", clock.Instant{Mono: 2 * replicaLag}, 2)
}

func TestTooManyMarksBecomeOneOfAllChats(t *testing.T) {
	var earlier, now clock.Instant
	now.Mono = replicaLag / 2
	m := newMarks(markBytes)
	m.add("first", lost{true, now}, now)
	m.add("second", lost{true, earlier}, now)
	for _, chat := range []string{"first", "second", "third"} {
		if l := m.of(chat, now); !l.set || l.at != now {
			t.Errorf("%s: %+v, want the latest", chat, l)
		}
	}
}
