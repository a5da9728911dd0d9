package cache

import (
	"fmt"
	"slices"
	"time"

	"hearth/client/wire"
	"hearth/internal/clock"
)

// replicaLag is how long a load from a replicated class may miss an acknowledged write: a search reads one replica, which may
// be behind. For so long the write is laid over what loads bring.
const replicaLag = time.Minute

// maxRecent is how many acknowledged messages of each role a chat keeps: more than a history shows.
const maxRecent = 256

// MayMissError occurs when a load may have missed an acknowledged write that is no longer held, because there was no room.
type MayMissError struct {
	Wait time.Duration // until a load can be trusted again: 0 for one that begins now

	short int // so many messages are lacking, because writes moved some out of what was loaded
}

func (e *MayMissError) Error() string {
	return fmt.Sprintf("cache: writes of the last minute may be missing; try again in %v", e.Wait)
}

// sight tells which writes a load can have seen.
type sight struct {
	at     clock.Instant // when it began
	mayLag bool          // it may have missed writes that were acknowledged before
}

// misses says whether the load may have missed what was acknowledged then. Equal instants have no order.
func (s sight) misses(acknowledged clock.Instant) bool {
	return acknowledged.Mono >= s.at.Mono || s.mayLag && s.at.Since(acknowledged) < replicaLag
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

func (l lost) live(now clock.Instant) bool { return l.set && now.Since(l.at) < replicaLag }

// refuse is the error of a load that may have missed what was lost; nil if it cannot have.
func (l lost) refuse(s sight) error {
	if !l.set || !s.misses(l.at) {
		return nil
	}
	e := &MayMissError{}
	if s.mayLag {
		e.Wait = max(0, replicaLag-s.at.Since(l.at))
	}
	return e
}

// recentWrites are the messages of a chat that loads may have missed. The zero value is empty.
type recentWrites struct {
	roles [roleCount + 1]recentList // the last one: messages of roles that a timeline does not have
	last  clock.Instant             // of the last acknowledgement
	bytes int64
	count int
}

// recentList holds messages in order, oldest first. Messages before cut may have been dropped. If a dropped message had been
// moved, in time or to another role, a load that missed the move shows the message in its old place: only the new place is
// known to be lost.
type recentList struct {
	messages []wire.Message
	at       []clock.Instant // when each was acknowledged
	cut      place
	lost     lost // the last one dropped
}

// add takes in messages acknowledged now, in place of older ones of the same ID. It forgets what was acknowledged longer ago
// than replicaLag, unless loads from before may be under way. A call of fit follows.
func (w *recentWrites) add(messages []wire.Message, now clock.Instant, loadsUnderWay bool) {
	last := lastOf(messages)
	w.last, w.bytes, w.count = now, 0, 0
	for r := range w.roles {
		w.roles[r].keep(func(m wire.Message, at clock.Instant) bool {
			_, again := last[m.ID]
			return !again && (loadsUnderWay || now.Since(at) < replicaLag)
		})
		if l := &w.roles[r]; !loadsUnderWay && !l.lost.live(now) {
			l.lost, l.cut = lost{}, place{}
		}
	}
	for i, m := range messages {
		if last[m.ID] != i {
			continue
		}
		r := roleOf(m)
		if r < 0 {
			r = roleCount
		}
		w.roles[r].insert(m, now)
	}
	for r := range w.roles {
		l := &w.roles[r]
		l.drop(len(l.messages) - maxRecent)
		w.count += len(l.messages)
		for _, m := range l.messages {
			w.bytes += recentBytes(m)
		}
	}
}

// recentBytes counts the structs of a message and its instant three times: a list that grows may have that much room.
func recentBytes(m wire.Message) int64 { return messageBytes(m) + 192 }

func (l *recentList) keep(keep func(wire.Message, clock.Instant) bool) {
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

func (l *recentList) insert(m wire.Message, now clock.Instant) {
	i, _ := slices.BinarySearchFunc(l.messages, m, func(a, b wire.Message) int { return placeOf(a).compare(placeOf(b)) })
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
	if cut := placeOf(l.messages[n-1]).after(); cut.compare(l.cut) > 0 {
		l.cut = cut
	}
	l.messages, l.at = slices.Delete(l.messages, 0, n), slices.Delete(l.at, 0, n)
}

// fit drops the oldest messages until the rest fits into so many bytes, and gives back room that is not needed.
func (w *recentWrites) fit(room int64) {
	var drop [roleCount + 1]int
	rest := func(r int) []wire.Message { return w.roles[r].messages[drop[r]:] }
	for w.bytes > max(0, room) {
		r := oldest(rest(user), rest(assistant), rest(roleCount))
		w.bytes -= recentBytes(rest(r)[0])
		w.count--
		drop[r]++
	}
	for r := range w.roles {
		l := &w.roles[r]
		l.drop(drop[r])
		l.messages, l.at = clip(l.messages), clip(l.at)
	}
}

// clip is s with room for at most three times what it holds: more is not counted.
func clip[T any](s []T) []T {
	if cap(s) > 3*len(s) {
		return slices.Clone(s)
	}
	return s
}

// allLost is the writes of a chat of which nothing else is known.
func allLost(l lost) recentWrites {
	w := recentWrites{last: l.at}
	for r := range w.roles {
		w.roles[r].cut, w.roles[r].lost = endOfTime(), l
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

// over lays the writes that a load may have missed over what it brought. It is an error if the result does not reach back to
// the newest n messages of each role.
func (w *recentWrites) over(t *timeline, s sight, n, maxWindow int) (*timeline, error) {
	var missed []wire.Message
	for _, l := range w.roles {
		for i, m := range l.messages {
			if s.misses(l.at[i]) {
				missed = append(missed, m)
			}
		}
	}
	if len(missed) > 0 {
		t = t.with(missed, maxWindow)
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
