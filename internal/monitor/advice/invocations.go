package advice

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hearth/client/wire"
)

// leastInvocations is how many invocations must be known before their shares say anything.
const leastInvocations = 20

// deadlines speaks of each timeout that ended a call in 2 of 20 invocations or more. It also speaks if 2 invocations or more had a call that
// ran out of time and that no setting ended.
func deadlines(m *Measured) (found []wire.Advice) {
	all := m.Invocations.Invocations
	if len(all) < leastInvocations {
		return nil
	}
	for _, end := range append(m.limits(), limit{}) {
		late := 0
		var took []float64
		for _, inv := range all {
			before := len(took)
			for _, op := range inv.Operations {
				if op.Status == http.StatusGatewayTimeout && m.endOf(op) == end {
					took = append(took, op.DurationMS)
				}
			}
			if len(took) > before {
				late++
			}
		}
		if late < 2 {
			continue
		}
		text := fmt.Sprintf("%d of the last %d invocations made %d calls that ran out of time (504), after %s at the median.", late, len(all), len(took), shown(median(took)))
		if end.setting == "" {
			found = append(found, one("deadlines", "", "", "%s No setting of Hearth ended them: their time came from the function's timeout or from the caller. Raise that, or ask for less.", text)...)
			continue
		}
		longer := durationText(min(2*end.after, maxTimeout))
		found = append(found, one("deadlines", end.setting, longer, "%s That is %s=%s: if the upstream is that slow and the function's timeout leaves the time, set %s=%s.",
			text, end.setting, durationText(end.after), end.setting, longer)...)
	}
	return found
}

// maxTimeout is the longest timeout that the settings take.
const maxTimeout = 15 * time.Minute

// limit is a setting that ends calls after a time.
type limit struct {
	setting string // empty: no setting ended the call
	after   time.Duration
}

// limits are the settings that end calls, without those that have the longest time already.
func (m *Measured) limits() (all []limit) {
	for _, upstream := range names(m.Timeouts) {
		all = append(all, limit{variable(upstream, "TIMEOUT"), m.Timeouts[upstream]})
	}
	all = append(all, limit{"HEARTH_PREPROCESS_TIMEOUT", m.PreprocessTimeout})
	return slices.DeleteFunc(all, func(l limit) bool { return l.after >= maxTimeout })
}

// endOf is the limit that ended a call: it applies to the operation, and the call took about that long.
func (m *Measured) endOf(op wire.Operation) limit {
	for _, l := range m.limits() {
		at := float64(l.after.Milliseconds())
		if at > 0 && op.DurationMS >= at*0.95 && op.DurationMS <= at*1.05 && l.appliesTo(op.Operation) {
			return l
		}
	}
	return limit{}
}

func (l limit) appliesTo(operation string) bool {
	asksOdoo := strings.HasPrefix(operation, "hearth.odoo_")
	switch l.setting {
	case "HEARTH_ODOO_TIMEOUT":
		return asksOdoo || operation == "hearth.preprocess"
	case "HEARTH_WEAVIATE_TIMEOUT":
		return !asksOdoo && operation != "hearth.fetch" && operation != "hearth.job" && operation != "hearth.batch"
	}
	return true
}

// longestIdle is how long an unused connection is worth keeping: AWS's NAT forgets a flow after 350 s.
const longestIdle = 5 * time.Minute

// idle speaks if 5 of 20 warm invocations or more, and a fifth of them, came after a freeze that was longer than connections are kept and
// shorter than they could be, and dialed.
func idle(m *Measured) []wire.Advice {
	var frozen []float64
	warm, dials, most := 0, int64(0), 0.0
	for _, inv := range m.Invocations.Invocations {
		if inv.Cold {
			continue
		}
		warm++
		if f := time.Duration(inv.FrozenMS * float64(time.Millisecond)); inv.Dials > 0 && f > m.ConnMaxIdle && f <= longestIdle-10*time.Second {
			frozen = append(frozen, inv.FrozenMS)
			dials += inv.Dials
			most = max(most, inv.FrozenMS)
		}
	}
	if warm < leastInvocations || len(frozen) < 5 || len(frozen)*5 < warm || m.worstBroken() != "" {
		return nil
	}
	longer := durationText((time.Duration(most*float64(time.Millisecond)) + 10*time.Second).Truncate(10 * time.Second))
	return one("connections-idle", "HEARTH_CONN_MAX_IDLE", longer,
		"%d of %d warm invocations dialed %d connections after a freeze of up to %s: unused connections are kept for HEARTH_CONN_MAX_IDLE=%s. "+
			"%s would keep them, if nothing on the way closes them sooner: load balancers often do after 60 s, AWS's NAT after 350 s.",
		len(frozen), warm, dials, shown(most), durationText(m.ConnMaxIdle), "HEARTH_CONN_MAX_IDLE="+longer)
}

// coldStarts speaks if the first of 10 to 20 invocations took twice as long as the median of the others, and 100 ms more.
func coldStarts(m *Measured) []wire.Advice {
	all := m.Invocations.Invocations
	if !m.ColdStarts || len(all) < 10 || len(all) > 20 {
		return nil
	}
	allMeasured := !slices.ContainsFunc(all, func(inv wire.Invocation) bool { return inv.FunctionMS == nil }) // else compare Hearth's part of each
	cold := -1.0
	var warm []float64
	for _, inv := range all {
		took := inv.DurationMS
		if allMeasured {
			took = *inv.FunctionMS
		}
		if inv.Cold {
			cold = took
		} else {
			warm = append(warm, took)
		}
	}
	usual := median(warm)
	if cold < 2*usual || cold < usual+100 {
		return nil
	}
	return one("cold-starts", "", "", strings.Join([]string{
		"1 of %d invocations of this sandbox (%s) was its first. It took %s, the others %s at the median.",
		"Provisioned concurrency or SnapStart starts sandboxes before they are needed; the metric cold_start has the share of all sandboxes.",
	}, " "), len(all), percent(1, int64(len(all))), shown(cold), shown(usual))
}
