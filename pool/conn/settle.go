package conn

import "slices"

// settle applies the rules at the end of every event, and returns what is to be done.
func (b *book) settle(s sight) todo {
	if !b.closed {
		b.prune(s)
		b.serve(s)
		for range b.missing(s) {
			b.startDial(s)
		}
		b.trim(s)
		if len(b.open) > 0 && !b.sweeping {
			b.sweeping, b.do.sweep = true, true
		}
	}
	do := b.do
	b.do = todo{}
	return do
}

// prune records the state of the connections, and removes those that are broken, lost, or idle for too long (rule 7).
func (b *book) prune(s sight) {
	for _, l := range s.looks {
		c, open := b.find(l.conn)
		if c == nil {
			continue
		}
		c.room, c.lost = l.room, l.lost
		if !l.broken {
			continue
		}
		b.close(c)
		if open {
			b.remove(c)
		}
	}
	b.open = slices.DeleteFunc(b.open, func(c *entry) bool {
		dead := c.busy == 0 && (c.lost || s.at.Since(c.used) > b.maxIdle)
		if dead {
			b.close(c)
		}
		return dead
	})
}

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
		switch {
		case c.room == 0, c.lost, c.number <= w.After:
		case b.careful && !c.served && c.busy > 0: // it is not known yet how many requests it takes
		case c.proven == s.freezes:
			return c
		case unproven == nil && !w.Proven:
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
		inUse := 0
		for _, o := range b.open {
			if o.busy > 0 {
				inUse++
			}
		}
		b.peakInUse = max(b.peakInUse, inUse)
	}
	b.do.hands = append(b.do.hands, hand{w, c.number, s.freezes, c.proven == s.freezes, c.served || c.number <= w.newest})
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

// kept is how many idle connections are kept.
func (b *book) kept(s sight) int {
	switch {
	case s.freezes < b.keepFrom:
		return 0
	case b.shared:
		return min(b.size, 1)
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
	b.open = slices.DeleteFunc(b.open, func(c *entry) bool {
		if c.busy > 0 || surplus <= 0 {
			return false
		}
		surplus--
		b.close(c)
		return true
	})
}
