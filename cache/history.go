package cache

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"hearth/internal/clock"
)

// overlay is how long an acknowledged write is laid over loads from a replicated class: its searches read one
// replica, which may be behind.
const overlay = time.Minute

// mostRendered is how many encoded replies of one chat are held at a time.
const mostRendered = 4

// View is how much of a history a request wants.
type View struct {
	Messages int // newest ones, per role
	Full     int // of them in full length
}

// Page is the newest messages of one role as loaded, in any order.
type Page struct {
	Messages []Message
	Complete bool // reaches back to the first message
}

// Loaded is what a load of a chat's history brought.
type Loaded struct {
	User, Assistant Page
	// Replicated says that the load may have missed a write acknowledged before it began.
	Replicated bool
}

// HistoryRequest is one read of a chat's history.
type HistoryRequest struct {
	Chat       string
	View       View
	Policy     Policy
	Directives Directives
	// Load fetches at least the n newest messages per role.
	Load func(ctx context.Context, n int) (Loaded, error)
	// Render encodes the reply from the newest View.Messages of each role, oldest first.
	Render func(user, assistant []Message) ([]byte, error)
}

// History returns the encoded reply: cut from the chat's windows where they are fresh and reach far enough.
// Every message acknowledged before the call is in it.
func (c *Cache) History(ctx context.Context, r HistoryRequest) (Reply, error) {
	cs, count := c.chats, c.count[History]
	cs.mu.Lock()
	ch := cs.byID[r.Chat]
	var age time.Duration
	v, reason := fetch, "miss"
	if ch != nil && ch.timeline != nil && ch.timeline.fits(r.View.Messages) {
		age = c.now().Since(ch.loadedAt)
		v, reason = r.Policy.judge(age, r.Directives)
	}
	if v == serve || v == lenient {
		cs.lru.MoveToFront(ch.element)
		o := r.Policy.origin(Hit, age)
		count.served(o.Served)
		return c.replyLocked(ch, r, o)
	}
	ch = cs.pinLocked(r.Chat)
	defer cs.unpin(ch)

	want := max(r.View.Messages, c.cfg.Window)
	name := flightName(History, r.Chat, ch.generation, want)
	start := func() (*flight, bool) {
		run := c.counted(History, func(ctx context.Context) (any, error) { return c.loadTimeline(ctx, r, want) })
		return c.flights.start(ctx, r.Directives.flight(name), r.Policy.joinable(r.Directives), nil, run)
	}
	switch {
	case v == refresh:
		if !r.Directives.OnlyIfCached {
			start()
		}
		o := r.Policy.origin(Hit, age)
		count.served(o.Served)
		return c.replyLocked(ch, r, o)
	case r.Directives.OnlyIfCached:
		cs.mu.Unlock()
		count.misses.Add(1)
		return Reply{}, ErrNotCached
	}
	fl, collapsed := start()
	cs.mu.Unlock()

	got, err := fl.wait(ctx)
	cs.mu.Lock()
	if err != nil && ch.timeline != nil && ch.timeline.fits(r.View.Messages) {
		if age := c.now().Since(ch.loadedAt); r.Policy.afterError(age, r.Directives) {
			count.stale.Add(1)
			return c.replyLocked(ch, r, r.Policy.standIn(age, reason, collapsed))
		}
	}
	count.misses.Add(1)
	if err != nil {
		cs.mu.Unlock()
		return Reply{}, err
	}
	l := got.(*loadedTimeline) //nolint:forcetypeassert // run returns nothing else
	o := r.Policy.origin(Miss, c.now().Since(l.at))
	o.Fwd, o.Collapsed = reason, collapsed
	if ch.timeline != nil && ch.loadedAt.Mono >= l.at.Mono && ch.timeline.fits(r.View.Messages) {
		return c.replyLocked(ch, r, o) // from what the load left, or a later one: all that was acknowledged is in it
	}
	t := l.over(ch, c.now(), c.most(want))
	cs.mu.Unlock()
	body, err := render(t, r)
	return Reply{Body: body, ETag: ETag(body), Origin: o}, err
}

// replyLocked renders the held timeline, or finds it rendered, and unlocks chats.mu.
func (c *Cache) replyLocked(ch *chat, r HistoryRequest, o Origin) (Reply, error) {
	cs := c.chats
	for _, x := range ch.rendered {
		if x.view == r.View {
			cs.mu.Unlock()
			return Reply{Body: x.body, ETag: x.etag, Origin: o}, nil
		}
	}
	t := ch.timeline
	cs.mu.Unlock()
	body, err := render(t, r)
	if err != nil {
		return Reply{}, err
	}
	x := rendered{view: r.View, body: body, etag: ETag(body)}
	cs.mu.Lock()
	if ch.timeline == t && cs.byID[ch.id] == ch {
		ch.rendered = append(ch.rendered, x)
		ch.rendered = slices.Delete(ch.rendered, 0, max(0, len(ch.rendered)-mostRendered))
		cs.sizeLocked(ch)
		cs.evictLocked()
	}
	cs.mu.Unlock()
	return Reply{Body: body, ETag: x.etag, Origin: o}, nil
}

func render(t *timeline, r HistoryRequest) ([]byte, error) {
	return r.Render(t[user].newest(r.View.Messages), t[assistant].newest(r.View.Messages))
}

// loadedTimeline is what a load brought, before any write is laid over it. It does not change.
type loadedTimeline struct {
	timeline   *timeline
	at         clock.Instant // when the load began
	replicated bool
}

// over lays the acknowledged writes that the load may have missed over it: those since it began, and from a
// replicated class those of the last minute. Where the load has the message and began later, the load is right.
func (l *loadedTimeline) over(ch *chat, now clock.Instant, most int) *timeline {
	t := l.timeline.clone()
	for _, a := range ch.recent {
		missed := l.replicated && now.Since(a.at) < overlay && !t.has(a.message.ID)
		if a.at.Mono >= l.at.Mono || missed {
			t.put(a.message, most)
		}
	}
	return t
}

// loadTimeline fetches a chat's windows and keeps them, unless they were dropped or loaded again meanwhile.
func (c *Cache) loadTimeline(ctx context.Context, r HistoryRequest, want int) (*loadedTimeline, error) {
	cs := c.chats
	cs.mu.Lock()
	ch := cs.pinLocked(r.Chat)
	generation, at := ch.generation, c.now()
	cs.mu.Unlock()
	defer cs.unpin(ch)

	loaded, err := r.Load(ctx, want)
	if err != nil {
		return nil, err
	}
	l := &loadedTimeline{at: at, replicated: loaded.Replicated, timeline: &timeline{
		user: newWindow(loaded.User), assistant: newWindow(loaded.Assistant),
	}}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if ch.generation == generation && !r.Directives.NoStore && (ch.timeline == nil || ch.loadedAt.Mono < at.Mono) {
		ch.replicated, ch.most = l.replicated, c.most(want)
		ch.timeline, ch.loadedAt, ch.rendered = l.over(ch, c.now(), ch.most), at, nil
		cs.sizeLocked(ch)
	}
	return l, nil
}

// most is how long a window loaded for want messages may grow by writes.
func (c *Cache) most(want int) int { return want + c.cfg.Window }

func flightName(r Resource, chat string, generation uint64, n int) string {
	b := append([]byte(r), 0)
	b = binary.BigEndian.AppendUint64(b, generation)
	b = binary.BigEndian.AppendUint64(b, uint64(n)) //nolint:gosec // n is a small positive number
	return string(append(b, chat...))
}
