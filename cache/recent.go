package cache

import (
	"fmt"
	"slices"
	"time"

	"hearth/internal/clock"
)

// overlay is how long an acknowledged write is laid over loads from a replicated class: its searches read one
// replica, which may be behind.
const overlay = time.Minute

// mostRecent is how many acknowledged messages of each role a chat keeps: more than a history shows.
const mostRecent = 256

// MayMissError occurs when a load may have missed an acknowledged write that is no longer held, for want of room.
type MayMissError struct {
	Wait time.Duration // until a load can be trusted again: 0 for one that begins now

	short int // by so many messages, where some were moved out of what was loaded
}

func (e *MayMissError) Error() string {
	return fmt.Sprintf("cache: writes of the last minute may be missing; try again in %v", e.Wait)
}

// sight is what a load can have seen.
type sight struct {
	at         clock.Instant // when it began
	replicated bool          // it may have missed writes acknowledged before
}

// misses says whether the load may have missed what was acknowledged then. Equal instants have no order.
func (s sight) misses(acknowledged clock.Instant) bool {
	return acknowledged.Mono >= s.at.Mono || s.replicated && s.at.Since(acknowledged) < overlay
}

// lost says that writes acknowledged up to then are not held any more.
type lost struct {
	set bool
	at  clock.Instant
}

func (l *lost) add(o lost) {
	if o.set && (!l.set || l.at.Mono < o.at.Mono) {
		*l = o
	}
}

func (l lost) live(now clock.Instant) bool { return l.set && now.Since(l.at) < overlay }

// refuse is the error of a load that may have missed what was lost, if it may.
func (l lost) refuse(s sight) error {
	if !l.set || !s.misses(l.at) {
		return nil
	}
	e := &MayMissError{}
	if s.replicated {
		e.Wait = max(0, overlay-s.at.Since(l.at))
	}
	return e
}

// recentWrites are the messages of a chat that loads may have missed. The zero value is empty.
type recentWrites struct {
	roles [roleCount + 1]recentList // the last one: those of roles that are not remembered
	last  clock.Instant             // of the last acknowledgement
	bytes int64
	count int
}

// recentList holds messages in order, oldest first. Some before cut were dropped. If one of those had been moved, to there
// or to another role, a load that missed that shows it where it was: only its place is known to be lost.
type recentList struct {
	messages []Message
	at       []clock.Instant // when each was acknowledged
	cut      place
	lost     lost // the last one dropped
}

// add takes in messages acknowledged now, instead of older ones of the same ID, and forgets what is acknowledged for
// longer than the overlay unless loads may be under way.
func (w *recentWrites) add(messages []Message, now clock.Instant, underWay bool) {
	last := lastOf(messages)
	w.last, w.bytes, w.count = now, 0, 0
	for r := range w.roles {
		w.roles[r].keep(func(m Message, at clock.Instant) bool {
			_, again := last[m.ID]
			return !again && (underWay || now.Since(at) < overlay)
		})
		if l := &w.roles[r]; !underWay && !l.lost.live(now) {
			l.lost, l.cut = lost{}, place{}
		}
	}
	for i, m := range messages {
		if last[m.ID] != i {
			continue
		}
		r := roleOf(m.Role)
		if r < 0 {
			r = roleCount
		}
		w.roles[r].insert(m, now)
	}
	for r := range w.roles {
		l := &w.roles[r]
		l.drop(len(l.messages) - mostRecent)
		l.messages, l.at = snug(l.messages), snug(l.at)
		w.count += len(l.messages)
		for _, m := range l.messages {
			w.bytes += recentBytes(m)
		}
	}
}

// recentBytes counts the room for a message and its instant three times, as lists that grow have it.
func recentBytes(m Message) int64 { return m.bytes() + 192 }

func (l *recentList) keep(keep func(Message, clock.Instant) bool) {
	n := 0
	for i, m := range l.messages {
		if keep(m, l.at[i]) {
			l.messages[n], l.at[n] = m, l.at[i]
			n++
		}
	}
	clear(l.messages[n:])
	l.messages, l.at = l.messages[:n], l.at[:n]
}

func (l *recentList) insert(m Message, now clock.Instant) {
	i, _ := slices.BinarySearchFunc(l.messages, m, func(a, b Message) int { return a.place().compare(b.place()) })
	l.messages = slices.Insert(l.messages, i, m)
	l.at = slices.Insert(l.at, i, now)
}

// drop forgets the n oldest messages, and remembers that it did.
func (l *recentList) drop(n int) {
	if n <= 0 {
		return
	}
	for _, at := range l.at[:n] {
		l.lost.add(lost{true, at})
	}
	if cut := l.messages[n-1].place().after(); cut.compare(l.cut) > 0 {
		l.cut = cut
	}
	l.messages, l.at = slices.Delete(l.messages, 0, n), slices.Delete(l.at, 0, n)
}

// fit drops the oldest messages until the rest fits into so many bytes.
func (w *recentWrites) fit(room int64) {
	var drop [roleCount + 1]int
	rest := func(r int) []Message { return w.roles[r].messages[drop[r]:] }
	for w.bytes > max(0, room) {
		r := oldest(rest(user), rest(assistant), rest(roleCount))
		w.bytes -= recentBytes(rest(r)[0])
		w.count--
		drop[r]++
	}
	for r := range w.roles {
		l := &w.roles[r]
		l.drop(drop[r])
		l.messages, l.at = snug(l.messages), snug(l.at)
	}
}

// snug is s without more room than it may have uncounted.
func snug[T any](s []T) []T {
	if cap(s) > 3*len(s) {
		return slices.Clone(s)
	}
	return s
}

// allLost is the writes of a chat of which nothing else is known.
func allLost(l lost) recentWrites {
	w := recentWrites{last: l.at}
	for r := range w.roles {
		w.roles[r].cut, w.roles[r].lost = end(), l
	}
	return w
}

// lost is what of them is not held.
func (w *recentWrites) lost() (l lost) {
	for r := range w.roles {
		l.add(w.roles[r].lost)
	}
	return l
}

// newest is the time of the newest message held.
func (w *recentWrites) newest() (t time.Time) {
	for _, l := range w.roles {
		if n := len(l.messages); n > 0 && l.messages[n-1].CreatedAt.After(t) {
			t = l.messages[n-1].CreatedAt
		}
	}
	return t
}

// over lays the writes that a load may have missed over what it brought. It is an error if what is held of both does not
// reach back to the newest n messages.
func (w *recentWrites) over(t *timeline, s sight, n, most int) (*timeline, error) {
	var missed []Message
	for _, l := range w.roles {
		for i, m := range l.messages {
			if s.misses(l.at[i]) {
				missed = append(missed, m)
			}
		}
	}
	if len(missed) > 0 {
		t = t.with(missed, most)
	}
	laid := *t
	for r := range laid {
		l := &w.roles[r]
		if err := l.lost.refuse(s); err != nil {
			laid[r] = laid[r].from(l.cut)
			if !laid[r].fits(n) {
				return nil, err
			}
		}
	}
	for _, l := range laid {
		if !l.fits(n) {
			return nil, &MayMissError{short: n - len(l.messages)}
		}
	}
	return &laid, nil
}
