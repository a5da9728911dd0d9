package advice

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"hearth/cache"
	"hearth/client/wire"
)

// leastReads is how many reads the cache must have answered before their shares say anything.
const leastReads = 100

// lapsed speaks for a resource if a fifth of 100 reads or more waited for a load because what was held had been fresh until a short time
// ago: it was younger than 8 times its freshness.
func lapsed(m *Measured) (found []wire.Advice) {
	for _, r := range cache.Resources() {
		l, policy, counts := m.Lapsed[r], m.Policies[r], m.Cache.Resources[string(r)]
		reads, soon := counts.Hits+counts.Stale+counts.Misses, l[0]+l[1]+l[2]
		if reads < leastReads || soon*5 < reads || policy.Fresh <= 0 || policy.Fresh > maxTTL/8 {
			continue
		}
		factor, covered := time.Duration(2), l[0]
		for i := 1; i < 3 && covered*2 < soon; i++ {
			factor, covered = factor*2, covered+l[i]
		}
		longer := policy
		longer.Fresh *= factor
		setting := "HEARTH_TTL_" + strings.ToUpper(string(r))
		found = append(found, one("ttl-"+strings.ReplaceAll(string(r), "_", "-"), setting, ttlText(longer),
			"%d of %d reads of %s waited for a load because what was held was no longer fresh (%s), and %d of those found it younger than %s. "+
				"%s=%s would answer such reads from memory, if it may take up to %s until a reply shows what others have changed.",
			sum(l), reads, r, durationText(policy.Fresh), covered, durationText(longer.Fresh), setting, ttlText(longer), durationText(longer.Fresh))...)
	}
	return found
}

// maxTTL is the longest freshness that the settings take.
const maxTTL = 365 * 24 * time.Hour

func sum(l cache.Lapsed) (n int64) {
	for _, each := range l {
		n += each
	}
	return n
}

// ttlText is a policy as the settings have it.
func ttlText(p cache.Policy) string {
	if p.WhileRevalidate == 0 && p.IfError == 0 {
		return durationText(p.Fresh)
	}
	zero := func(d time.Duration) string {
		if d == 0 {
			return "0s"
		}
		return durationText(d)
	}
	return durationText(p.Fresh) + "/" + zero(p.WhileRevalidate) + "/" + zero(p.IfError)
}

// maxWindow is the highest value of HEARTH_TIMELINE_WINDOW.
const maxWindow = 1000

// window speaks if 5 of 50 histories or more, and a twentieth of them, wanted more messages than were held of their chat.
func window(m *Measured) []wire.Advice {
	counts := m.Cache.Resources[string(cache.History)]
	reads, wanted := counts.Hits+counts.Stale+counts.Misses, min(m.MostWanted, maxWindow)
	if reads < 50 || m.ShortReads < 5 || m.ShortReads*20 < reads || int(wanted) <= m.TimelineWindow {
		return nil
	}
	return one("history-window", "HEARTH_TIMELINE_WINDOW", strconv.FormatInt(wanted, 10),
		"%d of %d histories were loaded again because they wanted more messages of a role than were held, up to %d. HEARTH_TIMELINE_WINDOW=%d (now %d) would load that many at once.",
		m.ShortReads, reads, m.MostWanted, wanted, m.TimelineWindow)
}

// tight says that the process has nearly all the memory that it may have.
func (m *Measured) tight() bool {
	return m.MemoryLimit > 0 && m.MemoryLimit < math.MaxInt64 && m.Memory*10 >= m.MemoryLimit*9
}

// memory speaks if the process has nine tenths of the memory that it may have, or more.
func memory(m *Measured) []wire.Advice {
	if !m.tight() {
		return nil
	}
	return one("memory", "", "",
		"Hearth has %s of the %s of memory that it may take of the function's %s, so the garbage collector runs often. The cache holds %s of that. More memory for the function helps, "+
			"or a HEARTH_CACHE_BYTES below %s.",
		mib(m.Memory), mib(m.MemoryLimit), mib(m.FunctionMemory), mib(m.Cache.Bytes), mib(m.Cache.MaxBytes))
}

// maxCacheBytes is the highest value of HEARTH_CACHE_BYTES.
const maxCacheBytes = 8 << 30

// cacheBytes speaks if, of 100 reads or more, 20 entries were evicted or not let in, and a tenth as many as there were misses.
func cacheBytes(m *Measured) []wire.Advice {
	c := m.Cache
	lost := c.Evictions + c.Rejected
	double := 2 * c.MaxBytes
	if c.Hits+c.Stale+c.Misses < leastReads || lost < 20 || lost*10 < c.Misses || double > maxCacheBytes || m.tight() {
		return nil
	}
	text := fmt.Sprintf("The cache holds %s of %s, half of it for chats and half for the rest. For lack of room it has evicted %s and kept %d out, beside %s.",
		mib(c.Bytes), mib(c.MaxBytes), count(c.Evictions, "entry", "entries"), c.Rejected, count(c.Misses, "miss", "misses"))
	if m.FunctionMemory > 0 && double > m.FunctionMemory/4 {
		return one("cache-bytes", "", "", "%s Twice as much would be more than a quarter of the function's %s: give the function more memory.", text, mib(m.FunctionMemory))
	}
	suggestion := strings.ReplaceAll(mib(double), " ", "")
	if double%(1<<20) != 0 {
		suggestion = strconv.FormatInt(double, 10)
	}
	return one("cache-bytes", "HEARTH_CACHE_BYTES", suggestion, "%s HEARTH_CACHE_BYTES=%s would give it twice as much.", text, suggestion)
}
