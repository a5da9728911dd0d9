package conn

import "slices"

// settle applies the rules at the end of every event, and returns what is to be done.
func (b *book) settle(s sight) todo {
	if !b.closed {
		b.serve(s)
		b.prune(s)
		for range b.missing(s) {
			b.startDial(s)
		}
		b.trim(s)
		if len(b.open) > 0 && !b.sweeping {
			b.sweeping, b.do.sweep = true, true
		}
	}
	b.event++
	do := b.do
	b.do = todo{}
	return do
}

// see looks at an open connection, once in an event.
func (b *book) see(s sight, c *entry) {
	if c.broken || c.seen == b.event {
		return
	}
	l := s.look(c.number)
	// A request that was just given the connection is not among those that the connection knows of yet.
	c.seen, c.broken, c.lost, c.streams, c.room = b.event, l.broken, l.lost, l.streams, max(0, min(l.free, l.streams-c.busy))
}

func (b *book) seeAll(s sight) {
	for _, c := range b.open {
		b.see(s, c)
	}
}

// prune removes the connections that were seen to be broken or lost, and those that are idle for too long (rule 7).
func (b *book) prune(s sight) {
	b.open = slices.DeleteFunc(b.open, func(c *entry) bool {
		switch {
		case c.broken && c.busy > 0:
			b.retired = append(b.retired, c)
		case c.broken, c.busy == 0 && (c.lost || b.tooOld(s, c)):
		default:
			return false
		}
		b.close(c)
		return true
	})
}

func (b *book) tooOld(s sight, c *entry) bool { return c.busy == 0 && s.at.Since(c.used) > b.maxIdle }

// serve gives each waiting request a connection that suits it, if there is one (rule 1).
func (b *book) serve(s sight) {
	b.waiting = slices.DeleteFunc(b.waiting, func(w *waiter) bool {
		c := b.pick(s, w)
		if c != nil {
			b.hand(s, w, c)
		}
		return c != nil
	})
}

// pick returns the connection for a waiting request (rules 2 and 3); nil: no open connection suits.
func (b *book) pick(s sight, w *waiter) *entry {
	var unproven *entry
	for _, c := range slices.Backward(b.open) {
		proven := c.isProven(s)
		switch {
		case c.number <= w.After, b.tooOld(s, c), !proven && (w.Proven || unproven != nil):
			continue
		case c.streams == 1 && c.busy > 0: // HTTP/1.1: there may be many of them, and no look is needed
			continue
		case b.careful && !c.served && c.busy > 0: // it is not known yet how many requests it takes
			continue
		}
		switch b.see(s, c); {
		case c.broken, c.lost, c.room == 0:
		case proven:
			return c
		default:
			unproven = c
		}
	}
	return unproven
}

func (b *book) hand(s sight, w *waiter, c *entry) {
	c.busy++
	c.room--
	c.used = s.at
	if !w.Background {
		requests := 0
		for _, o := range b.open {
			requests += o.busy
		}
		b.peak = max(b.peak, (requests+c.streams-1)/c.streams)
	}
	b.do.hands = append(b.do.hands, hand{w, c.number, b.event, s.freezes, c.isProven(s), c.served || c.number <= w.newest})
}

// missing is how many more dials the waiting requests need (rule 4).
func (b *book) missing(s sight) int {
	need := len(b.waiting)
	if b.shared {
		need = min(need, 1)
	}
	return max(0, need-b.dialing(s))
}

// dialing is how many dials are under way that began after the last freeze.
func (b *book) dialing(s sight) (n int) {
	for _, d := range b.dials {
		if d.began == s.freezes {
			n++
		}
	}
	return n
}

func (b *book) startDial(s sight) {
	b.lastDial++
	b.dials = append(b.dials, dial{b.lastDial, s.freezes})
	b.do.dials = append(b.do.dials, b.lastDial)
}

// kept is how many idle connections are kept. Where one carries many requests, more than callers have needed at once are of no use.
func (b *book) kept(s sight) int {
	switch {
	case s.freezes < b.keepFrom:
		return 0
	case b.shared:
		return min(b.size, max(b.peak, 1))
	}
	return b.size
}

// trim closes idle connections until no more are idle than are kept. It begins with the one that was not used for longest (rule 7).
func (b *book) trim(s sight) {
	surplus := -b.kept(s)
	for _, c := range b.open {
		if c.busy == 0 {
			surplus++
		}
	}
	if surplus <= 0 {
		return
	}
	b.open = slices.DeleteFunc(b.open, func(c *entry) bool {
		if c.busy > 0 || surplus <= 0 {
			return false
		}
		surplus--
		b.close(c)
		return true
	})
}
