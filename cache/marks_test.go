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
