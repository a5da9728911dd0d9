package advice

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"hearth/client/wire"
)

// leastRequests is how many requests a pool must have sent before its shares say anything.
const leastRequests = 50

// variable is a setting of an upstream; empty: the upstream has none, because it is a host that was fetched from.
func variable(upstream, setting string) string {
	switch upstream {
	case "weaviate", "odoo":
		return "HEARTH_" + strings.ToUpper(upstream) + "_" + setting
	}
	return ""
}

// rule is the name of a rule about an upstream. All hosts that were fetched from share theirs.
func rule(upstream, about string) string {
	if variable(upstream, "") == "" {
		upstream = "fetch"
	}
	return upstream + "-" + about
}

// breakers speaks of each breaker that has opened.
func breakers(m *Measured) (found []wire.Advice) {
	for _, upstream := range names(m.Pools) {
		p := m.Pools[upstream]
		b := p.Breaker
		if b.Opened == 0 {
			continue
		}
		slow := ""
		if p.RoundTrip.Count > 0 {
			slow = fmt.Sprintf(" The p99 of its answers is %s.", shown(p.RoundTrip.P99))
		}
		found = append(found, one(rule(upstream, "breaker"), "", "",
			"The breaker of %s has opened %s and is %s: %s not sent, %d of %d that were sent had no answer, and %d of %d dials failed.%s "+
				"Look for an outage or an overload of it.",
			upstream, times(b.Opened), b.State, count(b.Refused, "try was", "tries were"), p.Failures, p.Requests, p.DialErrors, p.Dials, slow)...)
	}
	return found
}

// retries speaks from 5 retries on that are 5 % of 50 requests or more.
func retries(m *Measured) (found []wire.Advice) {
	for _, upstream := range names(m.Pools) {
		p := m.Pools[upstream]
		if p.Breaker.Opened == 0 && p.Requests >= leastRequests && p.Retries >= 5 && p.Retries*20 >= p.Requests {
			more := ""
			if p.RetriesRefused > 0 {
				more = fmt.Sprintf(", and %s not sent because their budget was used up", count(p.RetriesRefused, "retry more was", "retries more were"))
			}
			found = append(found, one(rule(upstream, "retries"), "", "",
				"%d of %d requests to %s (%s) were retries%s. The log says why the tries before them failed.",
				p.Retries, p.Requests, upstream, percent(p.Retries, p.Requests), more)...)
		}
	}
	return found
}

// maxConnections is the highest ceiling that the settings take.
const maxConnections = 256

// ceilings speaks from 3 waits on that are 1 % of 50 requests or more and took 1 ms on average, if the ceiling may be higher.
func ceilings(m *Measured) (found []wire.Advice) {
	for _, upstream := range names(m.Crowds) {
		p, crowd, setting := m.Pools[upstream], m.Crowds[upstream], variable(upstream, "CONNECTIONS")
		most := min(crowd.Most, maxConnections)
		if p.Breaker.Opened > 0 || p.Requests < leastRequests || setting == "" || most <= p.Size ||
			crowd.Waits < 3 || crowd.Waits*100 < p.Requests || crowd.Waited < time.Duration(crowd.Waits)*time.Millisecond {
			continue
		}
		text := fmt.Sprintf("%d of %d requests waited %s on average for a slot of %s: its ceiling is %d. %s=%d would have let all of them through at once.",
			crowd.Waits, p.Requests, shown(mean(crowd.Waited, crowd.Waits)), upstream, p.Size, setting, most)
		switch {
		case crowd.Most > most:
			text = strings.Replace(text, "all of them", fmt.Sprintf("%d of %d", most, crowd.Most), 1)
		case upstream == "odoo":
			text += " Each of Odoo's workers serves one request at a time, so Odoo needs as many workers."
		}
		found = append(found, one(rule(upstream, "ceiling"), setting, strconv.Itoa(most), "%s", text)...)
	}
	return found
}

// maxWorkers is the highest value of HEARTH_WORKERS.
const maxWorkers = 64

// workers speaks if 5 of 20 batches and preprocesses or more, and a tenth of them, had more parts than workers, and their last part waited
// 1 ms on average. A batch that says itself how many of its requests run at once does not count.
func workers(m *Measured) []wire.Advice {
	w := m.Workers
	most := min(w.Most, maxWorkers)
	if w.Runs < 20 || w.Crowded < 5 || w.Crowded*10 < w.Runs || w.Waited < time.Duration(w.Crowded)*time.Millisecond || int(most) <= m.Settings.Workers {
		return nil
	}
	return one("workers", "HEARTH_WORKERS", strconv.FormatInt(most, 10),
		"%d of %d batches and preprocesses had more parts than the %s, at most %d, and their last part waited %s on average. HEARTH_WORKERS=%d would start %s.",
		w.Crowded, w.Runs, count(m.Settings.Workers, "worker", "workers"), w.Most, shown(mean(w.Waited, w.Crowded)), most, allOr(most, w.Most))
}

func allOr(most, wanted int64) string {
	if most < wanted {
		return fmt.Sprintf("%d parts at once", most)
	}
	return "all parts at once"
}

// broken speaks from 5 replays on that are 5 % of 50 requests or more: connections were closed while nobody used them.
func broken(m *Measured) (found []wire.Advice) {
	worst := m.worstBroken()
	if worst == "" || m.ConnMaxIdle <= 5*time.Second {
		return nil
	}
	p, half := m.Pools[worst], durationText(max(m.ConnMaxIdle/2, 5*time.Second).Truncate(time.Second))
	return one("connections-broken", "HEARTH_CONN_MAX_IDLE", half,
		"%d of %d requests to %s (%s) were sent again because their connection had broken, although none is kept unused for longer than HEARTH_CONN_MAX_IDLE=%s. "+
			"Something on the way closes them sooner: try HEARTH_CONN_MAX_IDLE=%s.",
		p.Replays, p.Requests, worst, percent(p.Replays, p.Requests), durationText(m.ConnMaxIdle), half)
}

// worstBroken is the upstream with the most connections that broke; empty: they are few.
func (m *Measured) worstBroken() (worst string) {
	for _, upstream := range names(m.Pools) {
		p := m.Pools[upstream]
		if p.Breaker.Opened == 0 && p.Requests >= leastRequests && p.Replays >= 5 && p.Replays*20 >= p.Requests &&
			(worst == "" || p.Replays > m.Pools[worst].Replays) {
			worst = upstream
		}
	}
	return worst
}

// mixing speaks of each such class once 20 searches were sent to Weaviate.
func mixing(m *Measured) (found []wire.Advice) {
	searches := m.Cache.Resources["history"].Misses + m.Cache.Resources["relevant"].Misses + m.Cache.Resources["mute"].Misses
	if searches < 20 {
		return nil
	}
	for _, class := range names(m.Mixing) {
		found = append(found, one("class-tokenization", "", "",
			"The chat's property of class %s has the tokenization %q. So each of the %d reads that went to Weaviate may have found other chats' objects, which are sent and left out. "+
				"A class whose property has the tokenization \"field\" finds one chat alone; a class's tokenization cannot be changed, so that needs a new class.",
			class, m.Mixing[class], searches)...)
	}
	return found
}
