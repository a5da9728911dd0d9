package cache

import (
	"github.com/cespare/xxhash/v2"

	"hearth/internal/clock"
)

// markBytes is what one mark takes: a hash and an instant in a map that is at least half full.
const markBytes = 96

// marks remember the chats whose acknowledged writes of the last minute could not be kept: a hash and a time for each chat, or
// one time for all chats if there are too many. They are not safe for concurrent use.
type marks struct {
	max        int
	young, old map[uint64]clock.Instant // expire makes young the new old; the marks that were in old have expired by then
	youngSince clock.Instant
	all        lost // of any chat
}

func newMarks(bytes int64) marks { return marks{max: int(min(bytes/markBytes, 1<<16))} }

func (m *marks) add(chat string, l lost, now clock.Instant) {
	m.expire(now)
	if len(m.young)+len(m.old) >= m.max {
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
		m.young, m.youngSince = map[uint64]clock.Instant{}, now
	}
	m.young[xxhash.Sum64String(chat)] = l.at
}

// of returns what was lost of a chat. The chat is not held.
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
	if now.Since(m.youngSince) >= replicaLag {
		m.young, m.old = nil, m.young
		m.youngSince = now
	}
}

func (m *marks) bytes() int64 { return markBytes * int64(len(m.young)+len(m.old)) }
