package cache

import (
	"github.com/cespare/xxhash/v2"

	"hearth/internal/clock"
)

// markBytes is what one mark takes: a hash and an instant in a map that is at least half full.
const markBytes = 96

// marks remember chats whose acknowledged writes of the last minute could not be kept: by a hash and a time each, and
// where even those are too many, by one time for all chats. They are not safe for concurrent use.
type marks struct {
	most       int
	young, old map[uint64]clock.Instant // what is in old has expired when young becomes old
	begun      clock.Instant            // young
	all        lost                     // of any chat
}

func newMarks(bytes int64) marks { return marks{most: int(min(bytes/markBytes, 1<<16))} }

func (m *marks) add(chat string, l lost, now clock.Instant) {
	m.expire(now)
	if len(m.young)+len(m.old) >= m.most {
		for _, marked := range []map[uint64]clock.Instant{m.old, m.young} {
			for _, at := range marked {
				m.all.add(lost{true, at})
			}
		}
		m.all.add(l)
		m.young, m.old = nil, nil
		return
	}
	if m.young == nil {
		m.young, m.begun = map[uint64]clock.Instant{}, now
	}
	m.young[xxhash.Sum64String(chat)] = l.at
}

// of is what is lost of a chat that is not held.
func (m *marks) of(chat string, now clock.Instant) (l lost) {
	hash := xxhash.Sum64String(chat)
	for _, marked := range []map[uint64]clock.Instant{m.old, m.young} {
		if at, ok := marked[hash]; ok {
			l.add(lost{true, at})
		}
	}
	l.add(m.all)
	if !l.live(now) {
		return lost{}
	}
	return l
}

func (m *marks) expire(now clock.Instant) {
	if now.Since(m.begun) >= overlay {
		m.young, m.old = nil, m.young
		m.begun = now
	}
}

func (m *marks) bytes() int64 { return markBytes * int64(len(m.young)+len(m.old)) }
