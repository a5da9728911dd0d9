package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"hearth/client/wire"
)

// History returns the newest numMessages messages of the user and as many of the assistant, and all of them ready
// for a prompt, in which only the newest fullTextLen stand in full.
func (c *Client) History(ctx context.Context, chat string, numMessages, fullTextLen int, opts ...Option) (*History, error) {
	path, err := chatPath(PathHistory, chat)
	if err != nil {
		return nil, err
	}
	path += fmt.Sprintf("?num_messages=%d&full_text_len=%d", numMessages, fullTextLen)
	h := &History{}
	if err := c.do(ctx, newCall(http.MethodGet, path, opts), c.cfg.Timeout, h); err != nil {
		return nil, err
	}
	return h, nil
}

// Relevant returns the messages of a chat that bear on a text, best first.
func (c *Client) Relevant(ctx context.Context, chat string, q RelevantRequest, opts ...Option) ([]ScoredMessage, error) {
	path, err := chatPath(PathRelevant, chat)
	if err != nil {
		return nil, err
	}
	req, err := newCall(http.MethodPost, path, opts).withBody(q)
	if err != nil {
		return nil, err
	}
	var r Relevant
	if err := c.do(ctx, req, c.cfg.Timeout, &r); err != nil {
		return nil, err
	}
	return r.RelevantMessages, nil
}

// Mute says whether the bot is to be silent in a chat.
func (c *Client) Mute(ctx context.Context, chat string, opts ...Option) (Mute, error) {
	path, err := chatPath(PathMute, chat)
	if err != nil {
		return Mute{}, err
	}
	var m Mute
	err = c.do(ctx, newCall(http.MethodGet, path, opts), c.cfg.Timeout, &m)
	return m, err
}

// SetMute mutes the bot in a chat, for ever or until m.Until, or unmutes it.
func (c *Client) SetMute(ctx context.Context, chat string, m Mute, opts ...Option) error {
	path, err := chatPath(PathMute, chat)
	if err != nil {
		return err
	}
	req, err := newCall(http.MethodPut, path, opts).withBody(m)
	if err != nil {
		return err
	}
	req.write = true
	return c.do(ctx, req, c.cfg.Timeout, nil)
}

// Append writes messages to a chat, 1 to 100 of them, and returns the ids of their objects in that order. Once it
// has returned they are in every History. Where an ID or a CreatedAt is missing it is filled in, later in the list
// meaning later in time.
//
// Name the messages yourself if you may call Append with them again, after an error say: what has been written
// already is then written over, not written twice.
func (c *Client) Append(ctx context.Context, chat string, messages []NewMessage, opts ...Option) (ids []string, err error) {
	path, err := chatPath(PathMessages, chat)
	if err != nil {
		return nil, err
	}
	items, err := stamped(messages, time.Now())
	if err != nil {
		return nil, err
	}
	req, err := newCall(http.MethodPost, path, opts).withBody(items)
	if err != nil {
		return nil, err
	}
	req.write = true
	var a Appended
	if err := c.do(ctx, req, c.cfg.Timeout, &a); err != nil {
		return nil, err
	}
	return a.IDs, nil
}

// stamped returns copies that can be sent twice: with an id and a time.
func stamped(messages []NewMessage, now time.Time) ([]NewMessage, error) {
	items := slices.Clone(messages)
	now = now.UTC().Truncate(time.Microsecond)
	var last time.Time
	for i := range items {
		m := &items[i]
		if !utf8.ValidString(m.ID) {
			return nil, wire.BadField(fmt.Sprintf("[%d].id", i), "must be UTF-8")
		}
		if m.ID == "" {
			m.ID = rand.Text()
		}
		if m.CreatedAt.IsZero() {
			m.CreatedAt = now
			if !last.IsZero() && !now.After(last) {
				m.CreatedAt = last.Add(time.Microsecond)
			}
		}
		if m.CreatedAt.After(last) {
			last = m.CreatedAt
		}
	}
	return items, nil
}

const (
	answerMargin = time.Second // of the sidecar's time before ours
	mostTime     = 15 * time.Minute
)

// Preprocess asks for all that is needed before an answer: mute, relevant messages, on some routes the Odoo models,
// and with NumMessages or FullTextLen the history. A part that failed is nil, and Errors says why; only when all
// failed is there an error.
//
// If TimeoutMS is 0, the sidecar is asked to answer with what it has before ctx ends.
func (c *Client) Preprocess(ctx context.Context, q PreprocessRequest, opts ...Option) (*Preprocess, error) {
	if err := checkChat(q.ChatID); err != nil {
		return nil, err
	}
	patience := c.cfg.Timeout
	if q.TimeoutMS > 0 {
		patience = time.Duration(q.TimeoutMS)*time.Millisecond + answerMargin
	} else {
		left := patience - min(answerMargin, patience/10)
		if end, ok := ctx.Deadline(); ok {
			remaining := time.Until(end)
			left = min(left, remaining-min(100*time.Millisecond, remaining/10))
		}
		q.TimeoutMS = int(min(max(left, time.Millisecond), mostTime).Milliseconds())
	}
	req, err := newCall(http.MethodPost, PathPreprocess, opts).withBody(q)
	if err != nil {
		return nil, err
	}
	p := &Preprocess{}
	if err := c.do(ctx, req, patience, p); err != nil {
		return nil, err
	}
	return p, nil
}
