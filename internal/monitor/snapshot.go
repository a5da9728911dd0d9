package monitor

import (
	"slices"
	"time"

	"hearth/client/wire"
	"hearth/internal/figures"
)

// Invocations are the last invocations, those too that are not over.
func (m *Monitor) Invocations() wire.Invocations {
	all := m.snapshot()
	reply := wire.Invocations{Invocations: make([]wire.Invocation, 0, len(all)), Operations: map[string]wire.OperationStats{}}
	durations := map[string][]float64{}
	for _, inv := range all {
		reply.Invocations = append(reply.Invocations, inv.shown())
		for name, values := range inv.durations() {
			durations[name] = append(durations[name], values...)
		}
	}
	for name, values := range durations {
		reply.Operations[name] = statsOf(values)
	}
	return reply
}

// snapshot is the newest first, at most maxClosed. Those that are open are copied.
func (m *Monitor) snapshot() []*invocation {
	m.mu.Lock()
	all := slices.Clone(m.closed)
	for _, inv := range m.openList {
		now := *inv
		now.operations = slices.Clone(inv.operations)
		all = append(all, &now)
	}
	m.mu.Unlock()
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b *invocation) int { return b.began.Compare(a.began) })
	return all[:min(len(all), maxClosed)]
}

func (inv *invocation) shown() wire.Invocation {
	w := wire.Invocation{
		ID: inv.id, RequestID: inv.requestID, Began: inv.began.UTC().Format("2006-01-02T15:04:05.000Z07:00"), Cold: inv.cold, FrozenMS: ms(inv.frozen),
		DurationMS: ms(inv.duration()), FunctionMS: inv.functionMS, Operations: make([]wire.Operation, len(inv.operations)),
		DroppedOperations: inv.dropped, Timings: append([]wire.Timing{}, inv.timings...), InvocationCounts: inv.total(), Late: inv.late,
	}
	for i, op := range inv.operations {
		w.Operations[i] = wire.Operation{
			Operation: op.route.operation, Route: op.route.name, StartMS: ms(op.start), DurationMS: ms(op.took), Status: op.status, Cache: op.verdicts.shown(),
		}
	}
	return w
}

// durations are those of the handler's and of Hearth's own operations, in milliseconds by the operations' names.
func (inv *invocation) durations() map[string][]float64 {
	all := map[string][]float64{}
	for _, op := range inv.operations {
		all[op.route.operation] = append(all[op.route.operation], ms(op.took))
	}
	for _, t := range inv.timings {
		all[t.Operation] = append(all[t.Operation], t.DurationMS)
	}
	return all
}

func statsOf(values []float64) wire.OperationStats {
	slices.Sort(values)
	at := func(p float64) float64 { return figures.NearestRank(values, p) }
	return wire.OperationStats{Count: len(values), P50MS: at(0.5), P90MS: at(0.9), P99MS: at(0.99), MaxMS: at(1)}
}

// wallOfEnd is the time of an invocation's document: that of its last reply.
func (inv *invocation) wallOfEnd() time.Time {
	if inv.lastReply.IsZero() {
		return inv.began
	}
	return inv.lastReply
}
