package contract

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"hearth/client"
)

const (
	talkers  = 8
	talkSize = 10  // messages of a role in a read
	talkAll  = 200 // more than a talk has
)

// conversations holds many chats at a time. In each a handler reads, writes a turn and reads again, while a second
// sidecar writes into the same chat.
func (s *suite) conversations(t *testing.T) {
	h := s.start(t, "HEARTH_TTL_HISTORY="+s.TalksTTL.String())
	other := s.start(t)
	var hits hitCount
	g, ctx := errgroup.WithContext(t.Context())
	talks := make([]*talk, talkers)
	for i := range talks {
		talks[i] = &talk{chat: fmt.Sprintf("talk/%d", i), undated: i%2 == 1, ttl: s.TalksTTL, h: h, other: other, hits: &hits}
		turns := s.Turns / talkers
		g.Go(func() error {
			for n := range turns {
				if err := talks[i].turn(ctx, n); err != nil {
					return fmt.Errorf("chat %s, turn %d: %w", talks[i].chat, n, err)
				}
			}
			return nil
		})
	}
	started := time.Now()
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d turns in %d chats at a time took %v; hits: %s", s.Turns/talkers*talkers, talkers,
		time.Since(started).Round(time.Millisecond), hits.String())
	awaited := 0
	for _, k := range talks {
		awaited += k.awaited
	}
	if awaited == 0 {
		t.Error("the other sidecar's writes were always there at once: nothing was cached")
	}
	cold := s.start(t)
	for _, k := range talks {
		all, err := parse[client.History](cold.get(t, historyPath(k.chat, talkAll, 5)), http.StatusOK)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.check(all, talkAll, time.Now().Add(time.Hour)); err != nil {
			t.Errorf("chat %s, in the end, read cold: %v", k.chat, err)
		}
	}
}

// said is a message that was acknowledged.
type said struct {
	id, role, content string
	created           time.Time // zero until it is read, if the sidecar gives the time
	acknowledged      time.Time
	others            bool // through the other sidecar
}

// talk is one chat and all that was acknowledged in it. Only its own goroutine uses it.
type talk struct {
	chat     string
	ttl      time.Duration
	undated  bool // the handler leaves created_at to the sidecar
	h, other *hearth
	hits     *hitCount
	said     []said
	foreign  bool      // the other sidecar wrote after the last read
	loaded   time.Time // when the last read that was no hit began: what is cached is no older
	awaited  int       // reads without a message of the other sidecar that they need not have had yet
}

func (k *talk) turn(ctx context.Context, n int) error {
	kind := nextTurn
	switch {
	case n == 0:
		kind = uncounted
	case k.foreign:
		kind = otherWriter
	}
	if err := k.read(ctx, kind, talkSize); err != nil {
		return fmt.Errorf("the read before: %w", err)
	}
	if err := k.say(ctx, k.h, "user", fmt.Sprintf("question %d", n)); err != nil {
		return err
	}
	if n%4 == 1 {
		if err := k.say(ctx, k.other, side(n/4), fmt.Sprintf("interjection %d", n)); err != nil {
			return err
		}
		k.foreign = true
	}
	if err := k.say(ctx, k.h, "assistant", fmt.Sprintf("answer %d", n)); err != nil {
		return err
	}
	if err := k.read(ctx, sameInvocation, talkSize); err != nil {
		return fmt.Errorf("the read after: %w", err)
	}
	if n%3 == 2 {
		if err := k.read(ctx, uncounted, talkAll); err != nil {
			return fmt.Errorf("the read of all: %w", err)
		}
	}
	k.foreign = n%4 == 1
	return nil
}

func (k *talk) say(ctx context.Context, h *hearth, role, content string) error {
	m := client.NewMessage{Role: role, Content: content}
	if h == k.other || !k.undated {
		m.CreatedAt = time.Now().UTC().Round(0)
	}
	r, err := h.try(ctx, http.MethodPost, chatPath(k.chat, "messages"), m)
	if err != nil {
		return err
	}
	got, err := parse[client.Appended](r, http.StatusCreated)
	if err != nil {
		return fmt.Errorf("the write %w", err)
	}
	k.said = append(k.said, said{
		id: got.IDs[0], role: role, content: content, created: m.CreatedAt, acknowledged: time.Now(), others: h == k.other,
	})
	return nil
}

func (k *talk) read(ctx context.Context, kind readKind, size int) error {
	begun := time.Now()
	r, err := k.h.try(ctx, http.MethodGet, historyPath(k.chat, size, 5), nil)
	if err != nil {
		return err
	}
	got, err := parse[client.History](r, http.StatusOK)
	if err != nil {
		return fmt.Errorf("the history %w", err)
	}
	c, err := parseCacheStatus(r)
	if err != nil {
		return err
	}
	if kind != uncounted {
		k.hits.add(kind, c.hit)
	}
	// A write changes the age of what is cached in neither direction.
	if kind == sameInvocation && !c.hit && time.Since(k.loaded) < k.ttl {
		return fmt.Errorf("no hit %v after the last load began", time.Since(k.loaded))
	}
	if !c.hit {
		k.loaded = begun
	}
	return k.check(got, size, begun.Add(-k.ttl))
}

// check compares a history with what was acknowledged. It must have every message that went through the reader's own sidecar,
// and those that went through the other one before seen.
func (k *talk) check(h client.History, size int, seen time.Time) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	got := map[string]client.Message{}
	for _, m := range h.AllMessages {
		if _, twice := got[m.ID]; twice {
			fault("%q is there twice", m.Content)
		}
		got[m.ID] = m
	}
	if !slices.IsSortedFunc(h.AllMessages, func(x, y client.Message) int { return x.CreatedAt.Compare(y.CreatedAt) }) {
		fault("not in order: %v", h.AllMessages)
	}
	// A reply of the size that was asked for reaches back to its oldest message only.
	edge := map[string]time.Time{}
	for role, list := range map[string][]client.Message{"user": h.UserMessages, "assistant": h.AssistantMessages} {
		if len(list) == size {
			edge[role] = list[0].CreatedAt
		}
	}
	var last time.Time // of the last message through the own sidecar
	for i := range k.said {
		m := &k.said[i]
		held, ok := got[m.id]
		delete(got, m.id)
		switch {
		case !ok && m.others && !m.acknowledged.Before(seen):
			k.awaited++
		case !ok && (edge[m.role].IsZero() || m.created.IsZero() || m.created.After(edge[m.role])):
			fault("%q, acknowledged %v ago, is missing (through the other: %t)", m.content, time.Since(m.acknowledged), m.others)
		case !ok:
		case held.Content != m.content || held.Role != m.role || !m.created.IsZero() && !m.created.Equal(held.CreatedAt):
			fault("%+v became %+v", *m, held)
		default:
			m.created = held.CreatedAt
			if !m.others && !m.created.After(last) {
				fault("%q is not in the order of its acknowledgement", m.content)
			}
		}
		if ok && !m.others {
			last = m.created
		}
	}
	for _, m := range got {
		fault("nobody wrote %q", m.Content)
	}
	return errors.Join(faults...)
}

// readKind is what happened between a read and the one before it.
type readKind int

const (
	sameInvocation readKind = iota // the turn wrote
	nextTurn                       // nothing
	otherWriter                    // the other sidecar wrote
	uncounted                      // it is not counted
)

// hitCount counts reads that were answered from memory.
type hitCount struct {
	mu    sync.Mutex
	hits  [3]int // guarded by mu
	reads [3]int // guarded by mu
}

func (c *hitCount) add(kind readKind, hit bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads[kind]++
	if hit {
		c.hits[kind]++
	}
}

func (c *hitCount) String() string {
	return fmt.Sprintf("same invocation %d of %d, next turn %d of %d, after another's write %d of %d",
		c.hits[sameInvocation], c.reads[sameInvocation], c.hits[nextTurn], c.reads[nextTurn], c.hits[otherWriter], c.reads[otherWriter])
}
