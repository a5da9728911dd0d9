package cache

import (
	"context"
	"slices"
)

// maxEncoded is how many encoded replies of one chat are held at a time.
const maxEncoded = 4

// encodedFor returns the held encoded reply of a view. It has no body if none is held.
func (ch *chat) encodedFor(v View) encoded {
	for _, e := range ch.encoded {
		if e.view == v {
			return e
		}
	}
	return encoded{}
}

// encode makes the reply from w, and keeps it beside the timeline it was made from.
func (c *Cache) encode(ctx context.Context, w windows, r HistoryRequest) (encoded, error) {
	if w.encoded.body != nil {
		return w.encoded, nil
	}
	if w.chat == nil && w.bytes() > c.chats.maxOfOne() {
		select {
		case c.encoding <- struct{}{}:
			defer func() { <-c.encoding }()
		case <-ctx.Done():
			return encoded{}, context.Cause(ctx)
		}
	}
	n := r.View.Messages
	body, err := r.Render(w.timeline[user].newest(n), w.timeline[assistant].newest(n))
	if err != nil {
		return encoded{}, err
	}
	e := encoded{view: r.View, body: body, etag: ETag(body)}
	if w.chat != nil {
		c.chats.keepEncoded(w, e)
	}
	return e, nil
}

// keepEncoded keeps e, unless the timeline it was made from was replaced meanwhile.
func (cs *chats) keepEncoded(w windows, e encoded) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if w.chat.timeline != w.timeline {
		return
	}
	w.chat.keepEncoded(e, cs.maxOfOne())
	cs.countLocked(w.chat)
	cs.evictLocked()
}

// keepEncoded keeps e, in place of older ones that do not fit beside it. If e alone takes more than limit, it is not kept.
func (ch *chat) keepEncoded(e encoded, limit int64) {
	bytes := e.bytes()
	if bytes > limit {
		return
	}
	for _, other := range ch.encoded {
		bytes += other.bytes()
	}
	for len(ch.encoded) == maxEncoded || bytes > limit {
		bytes -= ch.encoded[0].bytes()
		ch.encoded = slices.Delete(ch.encoded, 0, 1)
	}
	ch.encoded = append(ch.encoded, e)
}
