package cache

import (
	"fmt"
	"slices"
	"time"

	"hearth/client/wire"
	"hearth/internal/clock"
)

// replicaLag is how long a load may miss an acknowledged write if the class has replicas: a search reads one replica, and that
// replica may be behind. During this time the cache adds the write to the result of every load.
const replicaLag = time.Minute

// maxRecent is how many acknowledged messages of each role a chat keeps: more than a history shows.
const maxRecent = 256

// MayMissError occurs when a load may have missed an acknowledged write, and the cache no longer holds that write because it
// had no room for it.
type MayMissError struct {
	Wait time.Duration // how long until a load can be trusted; 0: a load that begins now can be trusted

	short int // how many messages are missing, because writes moved messages out of what was loaded
}

func (e *MayMissError) Error() string {
	return fmt.Sprintf("cache: writes of the last minute may be missing; try again in %v", e.Wait)
}

// sight tells which acknowledged writes a load may have missed.
type sight struct {
	at     clock.Instant // when the load began
	mayLag bool          // the load may have missed writes that were acknowledged before it began
}

// misses says whether the load may have missed a write that was acknowledged at that instant. If both instants are equal, the
// order is not known, and the load counts as one that missed the write.
func (s sight) misses(acknowledged clock.Instant) bool {
	return acknowledged.Mono >= s.at.Mono || s.mayLag && s.at.Since(acknowledged) < replicaLag
}

// lost says that the cache no longer holds some acknowledged writes.
type lost struct {
	set bool
	at  clock.Instant // when the last of them was acknowledged
}

func (l *lost) add(o lost) {
	if o.set && (!l.set || l.at.Mono < o.at.Mono) {
		*l = o
	}
}

func (l lost) live(now clock.Instant) bool { return l.set && now.Since(l.at) < replicaLag }

// refuse returns a MayMissError if the load may have missed a lost write.
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

// recentWrites holds the acknowledged messages of a chat that loads may have missed. The zero value is empty.
type recentWrites struct {
	roles [roleCount + 1]recentList // the last one: messages of roles that a timeline does not have
	ids   map[string]recentPlace    // of all messages in the lists
	last  clock.Instant             // when the last write was acknowledged
	swept clock.Instant             // when the old ones were looked for last
	bytes int64
	count int
}

// recentPlace is where a message is: in which list, and at which time.
type recentPlace struct {
	role int
	at   time.Time
}

// recentList holds messages of one role, oldest first. Messages before cut may have been dropped. A write may have moved a
// dropped message to another time or to another role. Only the new place of that message is known to be lost: a load that
// missed the write still shows the message in its old place.
type recentList struct {
	messages []wire.Message
	at       []clock.Instant // when each was acknowledged
	cut      place
	lost     lost // the last one dropped
}

// add adds messages that are acknowledged now. They replace messages with the same ID. add forgets messages that were
// acknowledged longer ago than replicaLag, unless a load that began before may be under way. A call of fit follows.
func (w *recentWrites) add(messages []wire.Message, now clock.Instant, loadsUnderWay bool) {
	w.last = now
	if !loadsUnderWay {
		w.sweep(now)
	}
	if w.ids == nil {
		w.ids = map[string]recentPlace{}
	}
	for _, m := range messages {
		w.remove(m.ID)
		w.insert(m, now)
	}
	for r := range w.roles {
		w.drop(r, len(w.roles[r].messages)-maxRecent)
	}
}

// sweepEvery is the least time between two sweeps: a sweep looks at all messages, and an import writes many times a second.
const sweepEvery = time.Second

// sweep forgets what was acknowledged longer ago than replicaLag.
func (w *recentWrites) sweep(now clock.Instant) {
	for r := range w.roles {
		if l := &w.roles[r]; !l.lost.live(now) {
			l.lost, l.cut = lost{}, place{}
		}
	}
	if now.Since(w.swept) < sweepEvery {
		return
	}
	w.swept = now
	for r := range w.roles {
		l, n := &w.roles[r], 0
		for i, m := range l.messages {
			if now.Since(l.at[i]) >= replicaLag {
				w.forget(m)
				continue
			}
			l.messages[n], l.at[n] = m, l.at[i]
			n++
		}
		clear(l.messages[n:])
		l.messages, l.at = l.messages[:n], l.at[:n]
	}
}

// recentBytes is the memory of one message: in ids, and in a list. It counts the structs of the message and of its instant three
// times, because a growing list may have that much capacity.
func recentBytes(m wire.Message) int64 { return messageBytes(m) + 192 + 96 }

func (w *recentWrites) insert(m wire.Message, now clock.Instant) {
	r := roleOf(m)
	if r < 0 {
		r = roleCount
	}
	l := &w.roles[r]
	i, _ := l.find(placeOf(m))
	l.messages, l.at = slices.Insert(l.messages, i, m), slices.Insert(l.at, i, now)
	w.ids[m.ID] = recentPlace{r, m.CreatedAt}
	w.bytes += recentBytes(m)
	w.count++
}

// remove removes the message of that ID, if there is one.
func (w *recentWrites) remove(id string) {
	p, ok := w.ids[id]
	if !ok {
		return
	}
	l := &w.roles[p.role]
	i, _ := l.find(place{p.at, id})
	w.forget(l.messages[i])
	l.messages, l.at = slices.Delete(l.messages, i, i+1), slices.Delete(l.at, i, i+1)
}

// forget takes a message out of the counts. The caller takes it out of its list.
func (w *recentWrites) forget(m wire.Message) {
	delete(w.ids, m.ID)
	w.bytes -= recentBytes(m)
	w.count--
}

// find is where a place is in the list, or would be.
func (l *recentList) find(p place) (i int, found bool) {
	return slices.BinarySearchFunc(l.messages, p, func(m wire.Message, p place) int { return placeOf(m).compare(p) })
}

// drop forgets the n oldest messages of a role, and remembers that it did.
func (w *recentWrites) drop(role, n int) {
	if n <= 0 {
		return
	}
	l := &w.roles[role]
	for i, m := range l.messages[:n] {
		l.lost.add(lost{true, l.at[i]})
		w.forget(m)
	}
	if cut := placeOf(l.messages[n-1]).after(); cut.compare(l.cut) > 0 {
		l.cut = cut
	}
	clear(l.messages[:n])
	l.messages, l.at = l.messages[n:], l.at[n:] // the next list that grows leaves the dropped ones behind
}

// fit drops the oldest messages until the rest fits into so many bytes, and gives back room that is not needed.
func (w *recentWrites) fit(room int64) {
	for w.bytes > max(0, room) {
		w.drop(oldest(w.roles[user].messages, w.roles[assistant].messages, w.roles[roleCount].messages), 1)
	}
	for r := range w.roles {
		l := &w.roles[r]
		l.messages, l.at = clip(l.messages), clip(l.at)
	}
}

// clip returns s with a capacity of at most three times its length, because recentBytes counts no more than that.
func clip[T any](s []T) []T {
	switch {
	case len(s) == 0:
		return nil // a clone of no elements would hold on to the memory
	case cap(s) > 3*len(s):
		return slices.Clone(s)
	}
	return s
}

// allLost returns the recent writes of a chat that holds none of them any more.
func allLost(l lost) recentWrites {
	w := recentWrites{last: l.at}
	for r := range w.roles {
		w.roles[r].cut, w.roles[r].lost = endOfTime(), l
	}
	return w
}

// lost tells which writes are no longer held.
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

// over returns the overlay: the timeline t that a load brought, with the writes that the load may have missed. It returns a
// MayMissError if the overlay may lack one of the newest n messages of a role.
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
