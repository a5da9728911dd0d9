package cache

import (
	"context"
	"encoding/binary"
	"errors"

	"hearth/client/wire"
	"hearth/internal/clock"
)

// errShortLoad occurs when a load brings fewer messages than were needed and is not complete: a history must not lack messages.
var errShortLoad = errors.New("cache: the load brought fewer messages than there are")

// View is how much of a history a request wants.
type View struct {
	Messages int // newest ones, per role
	Full     int // of them in full length
}

// Page is the newest messages of one role as loaded, in any order. It has all messages of the oldest timestamp in it.
type Page struct {
	Messages []wire.Message
	Complete bool // reaches back to the first message
}

// Loaded is what a load of a chat's history brought.
type Loaded struct {
	User, Assistant Page
	MayLag          bool // the load may have missed a write that was acknowledged before it began
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
	Render func(user, assistant []wire.Message) ([]byte, error)
}

// History returns the encoded reply, cut from the chat's windows. Every message acknowledged before the call is in it.
func (c *Cache) History(ctx context.Context, r HistoryRequest) (Reply, error) {
	q := question{resource: History, policy: r.Policy, directives: r.Directives, need: r.View.Messages}
	s := &historySource{c: c, HistoryRequest: r}
	w, o, err := read(ctx, c, q, s)
	if err != nil {
		return Reply{}, err
	}
	if s.short && o.Served == Miss && r.View.Messages > c.cfg.Window {
		c.short.count(r.View.Messages)
	}
	e, err := c.encode(ctx, w, r)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Body: e.body, ETag: e.etag, Origin: o}, nil
}

// HeldHistory returns the encoded reply of a view, if it is held and the request accepts it. It never waits. If it returns false, call
// History.
func (c *Cache) HeldHistory(now clock.Instant, chat []byte, v View, p Policy, d Directives) (Reply, bool) {
	e, began, ok := c.chats.heldReply(chat, v)
	if !ok {
		return Reply{}, false
	}
	o, ok := judgeHeld(now, p, d, began)
	if !ok {
		return Reply{}, false
	}
	c.counters[History].count(o.Served, d)
	return Reply{Body: e.body, ETag: e.etag, Origin: o}, true
}

// heldReply returns a view's encoded reply, and when the load began that brought it.
func (cs *chats) heldReply(chat []byte, v View) (e encoded, began clock.Instant, ok bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	ch := cs.byID[string(chat)]
	if ch == nil {
		return encoded{}, clock.Instant{}, false
	}
	cs.touchLocked(ch)
	e = ch.encodedFor(v)
	return e, ch.loadedAt, e.body != nil
}

// windows are a chat's windows, as they are held or as they were loaded.
type windows struct {
	*timeline
	sight
	chat    *chat   // that holds them; nil: they are not held
	encoded encoded // if they are held: the reply of the view that is wanted; without a body: there is none yet
}

func (w windows) began() clock.Instant { return w.at }

func (w windows) policy(p Policy) Policy { return p }

// historySource reads one chat's windows.
type historySource struct {
	c *Cache
	HistoryRequest

	chat  *chat // set by pin
	short bool  // set by look: less is held than is wanted
}

func (s *historySource) look() (windows, bool) {
	cs := s.c.chats
	cs.mu.Lock()
	defer cs.mu.Unlock()
	ch := cs.byID[s.Chat]
	s.short = ch != nil && ch.timeline != nil && !ch.timeline.fits(s.View.Messages)
	return s.heldLocked(ch)
}

func (s *historySource) heldLocked(ch *chat) (windows, bool) {
	if ch == nil || ch.timeline == nil || !ch.timeline.fits(s.View.Messages) {
		return windows{}, false
	}
	s.c.chats.touchLocked(ch)
	return windows{timeline: ch.timeline, sight: sight{at: ch.loadedAt}, chat: ch, encoded: ch.encodedFor(s.View)}, true
}

func (s *historySource) pin() string {
	cs := s.c.chats
	cs.mu.Lock()
	defer cs.mu.Unlock()
	s.chat = cs.pinLocked(s.Chat)
	return chatFlight(History, s.Chat, s.chat.token)
}

func (s *historySource) unpin() { s.c.chats.unpin(s.chat) }

// load fetches a chat's windows and keeps the newest messages that fit. It returns what it has loaded: finish adds the missed
// writes for each request. Writes that came meanwhile may have moved messages out of what was loaded, or may be lost. Then load
// loads once more.
func (s *historySource) load(ctx context.Context) (w windows, err error) {
	cs := s.c.chats
	ch := cs.pin(s.Chat)
	defer cs.unpin(ch)
	need := s.View.Messages
	for range 2 {
		t, _, at := cs.beginLoad(ch)
		if w, err = s.loadOnce(ctx, need, at); err != nil {
			return windows{}, err
		}
		e, missed := errors.AsType[*MayMissError](s.keep(ch, t, w))
		if !missed || e.Wait > 0 {
			break
		}
		need += e.short
	}
	return w, nil
}

func (s *historySource) loadOnce(ctx context.Context, need int, at clock.Instant) (windows, error) {
	loaded, err := s.Load(ctx, need, max(need, s.c.cfg.Window))
	if err != nil {
		return windows{}, err
	}
	w := windows{
		timeline: &timeline{user: newWindow(loaded.User), assistant: newWindow(loaded.Assistant)},
		sight:    sight{at: at, mayLag: loaded.MayLag},
	}
	if !w.fits(need) {
		return windows{}, errShortLoad
	}
	return w, nil
}

// keep keeps the windows that a load brought, if the chat still has the token under which the load began and no later load was
// faster. It returns the error of [recentWrites.over].
func (s *historySource) keep(ch *chat, t token, w windows) error {
	cs := s.c.chats
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.learnLocked(messageWrites, w.mayLag)
	laid, err := ch.recent.over(w.timeline, w.sight, s.View.Messages, s.maxWindow())
	if err == nil && ch.token == t && !s.Directives.NoStore && (ch.timeline == nil || ch.loadedAt.Mono < w.at.Mono) {
		ch.dropTimeline()
		ch.timeline, ch.loadedAt, ch.maxWindow = laid.within(cs.maxOfOne()), w.at, s.maxWindow()
		cs.countLocked(ch)
	}
	return err
}

// maxWindow is the length to which writes may lengthen a window that was loaded for this request.
func (s *historySource) maxWindow() int { return max(s.View.Messages, s.c.cfg.Window) + s.c.cfg.Window }

// finish returns the windows that are held, if they are at least as new as the load: every acknowledged write is in them.
// Otherwise it returns the overlay of what the load brought.
func (s *historySource) finish(w windows) (windows, error) {
	cs := s.c.chats
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if held, ok := s.heldLocked(s.chat); ok && held.at.Mono >= w.at.Mono {
		return held, nil
	}
	laid, err := s.chat.recent.over(w.timeline, w.sight, s.View.Messages, s.maxWindow())
	return windows{timeline: laid, sight: w.sight}, err
}

// chatFlight names a load of a chat under a token.
func chatFlight(r Resource, chat string, t token) string {
	b := append([]byte(r), 0)
	b = binary.BigEndian.AppendUint64(b, uint64(t))
	return string(append(b, chat...))
}
