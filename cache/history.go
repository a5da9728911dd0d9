package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"hearth/internal/clock"
)

// errShortLoad occurs when a load breaks its promise: a history must not be shorter than it is.
var errShortLoad = errors.New("cache: the load brought fewer messages than there are")

// mostRendered is how many encoded replies of one chat are held at a time.
const mostRendered = 4

// View is how much of a history a request wants.
type View struct {
	Messages int // newest ones, per role
	Full     int // of them in full length
}

// Page is the newest messages of one role as loaded, in any order: all of the oldest timestamp among them, unless none is left.
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
	// Load fetches at least the newest need messages per role, or all there are. Up to want are welcome.
	Load func(ctx context.Context, need, want int) (Loaded, error)
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
		cs.lru.MoveToFront(ch.inLRU)
		o := r.Policy.origin(Hit, age)
		count.served(o.Served)
		return c.replyLocked(ch, r, o)
	}
	ch = cs.pinLocked(r.Chat)
	defer cs.unpin(ch)

	name := flightName(History, r.Chat, ch.generation)
	start := func() (*flight, bool) {
		run := c.counted(History, func(ctx context.Context) (any, error) { return c.loadTimeline(ctx, r) })
		return c.flights.start(ctx, flightTerms{
			key: r.Directives.flight(name), join: r.Policy.joinable(r.Directives), need: r.View.Messages,
		}, run)
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
	fits := ch.timeline != nil && ch.timeline.fits(r.View.Messages)
	var t *timeline
	var o Origin
	if err == nil {
		l := got.(*loadedTimeline) //nolint:forcetypeassert // run returns nothing else
		o = r.Policy.origin(Miss, c.now().Since(l.at))
		o.Fwd, o.Collapsed = reason, collapsed
		if fits && ch.loadedAt.Mono >= l.at.Mono { // what the load left, or a later one: all that was acknowledged is in it
			count.misses.Add(1)
			return c.replyLocked(ch, r, o)
		}
		t, err = ch.recent.over(l.timeline, l.sight, r.View.Messages, c.most(r.View.Messages))
	}
	if err != nil && fits {
		if age := c.now().Since(ch.loadedAt); r.Policy.afterError(age, r.Directives) {
			count.stale.Add(1)
			return c.replyLocked(ch, r, r.Policy.standIn(age, reason, collapsed))
		}
	}
	cs.mu.Unlock()
	count.misses.Add(1)
	if err != nil {
		return Reply{}, err
	}
	if t.bytes() > cs.mostOfOne() {
		select {
		case c.large <- struct{}{}:
			defer func() { <-c.large }()
		case <-ctx.Done():
			return Reply{}, context.Cause(ctx)
		}
	}
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
	if ch.timeline == t {
		ch.keepRendered(x, cs.mostOfOne())
		cs.countLocked(ch)
		cs.evictLocked()
	}
	cs.mu.Unlock()
	return Reply{Body: body, ETag: x.etag, Origin: o}, nil
}

// keepRendered keeps x, if it fits into so many bytes, instead of older ones that do not fit beside it.
func (ch *chat) keepRendered(x rendered, limit int64) {
	if x.bytes() > limit {
		return
	}
	bytes := x.bytes()
	for _, r := range ch.rendered {
		bytes += r.bytes()
	}
	for len(ch.rendered) == mostRendered || bytes > limit {
		bytes -= ch.rendered[0].bytes()
		ch.rendered = slices.Delete(ch.rendered, 0, 1)
	}
	ch.rendered = append(ch.rendered, x)
}

func render(t *timeline, r HistoryRequest) ([]byte, error) {
	return r.Render(t[user].newest(r.View.Messages), t[assistant].newest(r.View.Messages))
}

// loadedTimeline is what a load brought, before any write is laid over it. It does not change.
type loadedTimeline struct {
	timeline *timeline
	sight
}

// loadTimeline fetches a chat's windows and keeps the newest messages that fit, unless the windows were dropped or
// loaded again meanwhile, or the load may have missed what is lost. Writes that came meanwhile may take messages out of
// what it brought, or be lost themselves: then it loads once more.
func (c *Cache) loadTimeline(ctx context.Context, r HistoryRequest) (l *loadedTimeline, err error) {
	cs := c.chats
	cs.mu.Lock()
	ch := cs.pinLocked(r.Chat)
	cs.mu.Unlock()
	defer cs.unpin(ch)

	need := r.View.Messages
	for range 2 {
		cs.mu.Lock()
		generation, at := ch.generation, c.now()
		cs.mu.Unlock()
		if l, err = c.load(ctx, r, need, at); err != nil {
			return nil, err
		}
		cs.mu.Lock()
		err = c.keepLocked(ch, l, generation, r)
		cs.mu.Unlock()
		e, missed := errors.AsType[*MayMissError](err)
		if !missed || e.Wait > 0 {
			break
		}
		need += e.short
	}
	return l, nil
}

func (c *Cache) load(ctx context.Context, r HistoryRequest, need int, at clock.Instant) (*loadedTimeline, error) {
	loaded, err := r.Load(ctx, need, max(need, c.cfg.Window))
	if err != nil {
		return nil, err
	}
	l := &loadedTimeline{
		timeline: &timeline{user: newWindow(loaded.User), assistant: newWindow(loaded.Assistant)},
		sight:    sight{at: at, replicated: loaded.Replicated},
	}
	if !l.timeline.fits(need) {
		return nil, errShortLoad
	}
	return l, nil
}

// keepLocked keeps what a load of that generation brought, or says why it may not.
func (c *Cache) keepLocked(ch *chat, l *loadedTimeline, generation uint64, r HistoryRequest) error {
	cs := c.chats
	cs.learnLocked(messageWrites, l.replicated)
	most := c.most(r.View.Messages)
	t, err := ch.recent.over(l.timeline, l.sight, r.View.Messages, most)
	if err == nil && ch.generation == generation && !r.Directives.NoStore && (ch.timeline == nil || ch.loadedAt.Mono < l.at.Mono) {
		ch.timeline, ch.loadedAt, ch.rendered, ch.most = t.within(cs.mostOfOne()), l.at, nil, most
		cs.countLocked(ch)
	}
	return err
}

// most is how long a window may grow by writes that was loaded for so many messages.
func (c *Cache) most(need int) int { return max(need, c.cfg.Window) + c.cfg.Window }

func flightName(r Resource, chat string, generation uint64) string {
	b := append([]byte(r), 0)
	b = binary.BigEndian.AppendUint64(b, generation)
	return string(append(b, chat...))
}
