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

// History returns the newest numMessages (1 to 200) messages of the user and as many of the assistant, oldest first. In
// MsgHistory, which is made for a prompt, the newest fullTextLen (0 to 200) messages have their full text; the texts of older
// ones are cut.
func (c *Client) History(ctx context.Context, chat string, numMessages, fullTextLen int, opts ...Option) (*History, error) {
	path, err := chatPath(PathHistory, chat)
	if err != nil {
		return nil, err
	}
	path += fmt.Sprintf("?num_messages=%d&full_text_len=%d", numMessages, fullTextLen)
	h := &History{}
	if err := c.do(ctx, newCall(http.MethodGet, path, opts).about(chat, PartHistory), c.cfg.Timeout, h); err != nil {
		return nil, err
	}
	return h, nil
}

// Relevant returns the messages of a chat that are relevant to a text, best first.
func (c *Client) Relevant(ctx context.Context, chat string, q RelevantRequest, opts ...Option) ([]ScoredMessage, error) {
	path, err := chatPath(PathRelevant, chat)
	if err != nil {
		return nil, err
	}
	req, err := newCall(http.MethodPost, path, opts).about(chat, PartRelevant).withBody(q)
	if err != nil {
		return nil, err
	}
	var r Relevant
	if err := c.do(ctx, req, c.cfg.Timeout, &r); err != nil {
		return nil, err
	}
	return r.RelevantMessages, nil
}

// Mute says whether the bot must be silent in a chat.
func (c *Client) Mute(ctx context.Context, chat string, opts ...Option) (Mute, error) {
	path, err := chatPath(PathMute, chat)
	if err != nil {
		return Mute{}, err
	}
	var m Mute
	err = c.do(ctx, newCall(http.MethodGet, path, opts).about(chat, PartMute), c.cfg.Timeout, &m)
	return m, err
}

// SetMute mutes the bot in a chat, for ever or until m.Until, or unmutes it.
func (c *Client) SetMute(ctx context.Context, chat string, m Mute, opts ...Option) error {
	path, err := chatPath(PathMute, chat)
	if err != nil {
		return err
	}
	req, err := newCall(http.MethodPut, path, opts).about(chat, "").withBody(m)
	if err != nil {
		return err
	}
	req.write = true
	return c.do(ctx, req, c.cfg.Timeout, nil)
}

// Append writes 1 to 100 messages to a chat and returns the ids of their objects, in the order of the messages. When it has
// returned, every History has the messages. Append fills in a missing ID, and a missing CreatedAt so that of two messages the
// later in the list has the later time.
//
// Set the IDs yourself if you may append the same messages again, for example after an error. A message whose ID is known
// replaces the one that was written before. If only some of the messages are not stored, the error is a [Problem] whose Items
// say what became of each.
func (c *Client) Append(ctx context.Context, chat string, messages []NewMessage, opts ...Option) (ids []string, err error) {
	path, err := chatPath(PathMessages, chat)
	if err != nil {
		return nil, err
	}
	items, err := stamped(messages, time.Now())
	if err != nil {
		return nil, err
	}
	req, err := newCall(http.MethodPost, path, opts).about(chat, "").withBody(items)
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

// stamped returns copies that have an id and a time, so that they can be sent twice.
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

// answerMargin is how long before the client gives up the sidecar must answer.
const answerMargin = time.Second

// Preprocess fetches at once what a bot needs before it answers: the mute, the relevant messages, on some routes the Odoo
// models, and with NumMessages or FullTextLen the history. A part that failed is nil, and Errors says why. Preprocess
// returns an error only if every part failed.
//
// The sidecar answers with the parts that it has, at the latest after TimeoutMS, or after two thirds of the time until ctx ends: the last
// third is for the handler.
func (c *Client) Preprocess(ctx context.Context, q PreprocessRequest, opts ...Option) (*Preprocess, error) {
	if err := checkChat(q.ChatID); err != nil {
		return nil, err
	}
	patience := c.cfg.Timeout
	if q.TimeoutMS > 0 {
		patience = time.Duration(q.TimeoutMS)*time.Millisecond + answerMargin
	} else {
		left := patience - min(answerMargin, patience/10)
		q.TimeoutMS = int(min(max(left, time.Millisecond), wire.MaxTimeout).Milliseconds())
	}
	req, err := newCall(http.MethodPost, PathPreprocess, opts).about(q.ChatID, "preprocess").withBody(q)
	if err != nil {
		return nil, err
	}
	req.ownTimeout = true
	p := &Preprocess{}
	if err := c.do(ctx, req, patience, p); err != nil {
		return nil, err
	}
	return p, nil
}
