package advice

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"hearth/client/wire"
)

// leastInvocations is how many invocations must be known before their shares say anything.
const leastInvocations = 20

// deadlines speaks if 2 of 20 invocations or more made calls that were not answered in time.
func deadlines(m *Measured) []wire.Advice {
	all := m.Invocations.Invocations
	late := 0
	var took []float64
	for _, inv := range all {
		before := len(took)
		for _, op := range inv.Operations {
			if op.Status == http.StatusGatewayTimeout {
				took = append(took, op.DurationMS)
			}
		}
		if len(took) > before {
			late++
		}
	}
	if len(all) < leastInvocations || late < 2 {
		return nil
	}
	after := median(took)
	text := fmt.Sprintf("%d of the last %d invocations made %d calls that ran out of time (504), after %s at the median.", late, len(all), len(took), shown(after))
	if setting, limit := m.limitAt(after); setting != "" {
		return one("deadlines", setting, durationText(2*limit), "%s That is %s=%s: if the upstream is that slow and the function's timeout leaves the time, set %s=%s.",
			text, setting, durationText(limit), setting, durationText(2*limit))
	}
	return one("deadlines", "", "", "%s No setting bounds a call to that, so it is what the function's timeout or the caller had left: raise that, or ask for less.", text)
}

// limitAt is the setting that ends a call after so many milliseconds; empty: none does. A longer time than the settings take is none to suggest.
func (m *Measured) limitAt(ms float64) (setting string, limit time.Duration) {
	near := func(d time.Duration) bool {
		at := float64(d.Milliseconds())
		return at > 0 && ms >= at*0.95 && ms <= at*1.05 && 2*d <= 15*time.Minute
	}
	for _, upstream := range names(m.Timeouts) {
		if near(m.Timeouts[upstream]) {
			return variable(upstream, "TIMEOUT"), m.Timeouts[upstream]
		}
	}
	if near(m.PreprocessTimeout) {
		return "HEARTH_PREPROCESS_TIMEOUT", m.PreprocessTimeout
	}
	return "", 0
}

// longestIdle is how long an unused connection is worth keeping: AWS's NAT forgets a flow after 350 s.
const longestIdle = 5 * time.Minute

// idle speaks if 5 of 20 warm invocations or more, and a fifth of them, came after a freeze that was longer than connections are kept and shorter than
// they could be, and dialed.
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
	cold := -1.0
	var warm []float64
	for _, inv := range all {
		took := inv.DurationMS
		if inv.FunctionMS != nil {
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
