package cache

import (
	"context"
	"time"

	"hearth/internal/clock"
)

// MuteState is whether the bot is to be silent in a chat.
type MuteState struct {
	Muted bool
	Until time.Time // zero: no end
}

// LoadedMute is what a load of a mute brought.
type LoadedMute struct {
	MuteState
	Updated    time.Time // by the upstream's clock
	Replicated bool      // the load may have missed a write acknowledged before it began
}

// muteState is a mute held. It does not change.
type muteState struct {
	MuteState
	at           clock.Instant // when its load, or the write of it, began
	acknowledged clock.Instant // of a write
}

// Mute returns a chat's mute.
func (c *Cache) Mute(ctx context.Context, id string, p Policy, d Directives, load func(context.Context) (LoadedMute, error)) (MuteState, Origin, error) {
	cs, count := c.chats, c.count[Mute]
	cs.mu.Lock()
	ch := cs.pinLocked(id)
	defer cs.unpin(ch)
	held := ch.mute
	var age time.Duration
	v, reason := fetch, "miss"
	if held != nil {
		age = c.now().Since(held.at)
		v, reason = p.judge(age, d)
	}
	var fl *flight
	collapsed := false
	if (v == fetch || v == refresh) && !d.OnlyIfCached {
		terms := flightTerms{key: d.flight(flightName(Mute, id, ch.muteGeneration)), join: p.joinable(d)}
		run := c.counted(Mute, func(ctx context.Context) (any, error) { return c.loadMute(ctx, id, d, load) })
		fl, collapsed = c.flights.start(ctx, terms, run)
	}
	cs.mu.Unlock()

	if v != fetch {
		o := p.origin(Hit, age)
		count.served(o.Served)
		return held.MuteState, o, nil
	}
	if fl == nil {
		count.misses.Add(1)
		return MuteState{}, Origin{}, ErrNotCached
	}
	got, err := fl.wait(ctx)
	if err != nil && held != nil {
		if age = c.now().Since(held.at); p.afterError(age, d) {
			count.stale.Add(1)
			return held.MuteState, p.standIn(age, reason, collapsed), nil
		}
	}
	count.misses.Add(1)
	if err != nil {
		return MuteState{}, Origin{}, err
	}
	m := got.(*muteState) //nolint:forcetypeassert // run returns nothing else
	o := p.origin(Miss, c.now().Since(m.at))
	o.Fwd, o.Collapsed = reason, collapsed
	return m.MuteState, o, nil
}

func (c *Cache) loadMute(ctx context.Context, id string, d Directives, load func(context.Context) (LoadedMute, error)) (*muteState, error) {
	cs := c.chats
	cs.mu.Lock()
	ch := cs.pinLocked(id)
	generation, at := ch.muteGeneration, c.now()
	cs.mu.Unlock()
	defer cs.unpin(ch)

	loaded, err := load(ctx)
	if err != nil {
		return nil, err
	}
	m := &muteState{MuteState: loaded.MuteState, at: at}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.learnLocked(muteWrites, loaded.Replicated)
	if loaded.Replicated {
		saw := sight{at: at, replicated: true}
		if err := ch.putLost.refuse(saw); err != nil {
			return nil, err
		}
		if ours := ch.put; ours != nil && saw.misses(ours.acknowledged) && loaded.Updated.Before(ours.at.Wall) {
			m.MuteState = ours.MuteState // the load missed our own write
		}
	}
	if ch.muteGeneration == generation && !d.NoStore && (ch.mute == nil || ch.mute.at.Mono < at.Mono) {
		ch.mute = m
		cs.countLocked(ch)
	}
	return m, nil
}

// SetMute writes a chat's mute with do and remembers it. After a failure it is loaded again; over a replica that is behind
// counts still what was acknowledged last, unless do has done it after all (as far as the clocks of both sides tell). Calls for
// one chat must not overlap: the last one remembered could be another than the last one written.
func (c *Cache) SetMute(id string, m MuteState, do func() error) error {
	cs := c.chats
	cs.mu.Lock()
	ch := cs.pinLocked(id)
	at := c.now()
	cs.mu.Unlock()
	defer cs.unpin(ch)

	err := do()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	ch.muteGeneration = cs.next() // loads that began before it must not fill, nor be joined
	ch.mute = nil
	if err == nil {
		now := c.now()
		ch.mute = &muteState{MuteState: m, at: at, acknowledged: now}
		if cs.mayLag[muteWrites] {
			ch.put, ch.putLost = ch.mute, lost{}
		}
		cs.wroteLocked(ch, now)
	}
	cs.countLocked(ch)
	return err
}
