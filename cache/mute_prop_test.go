package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"hearth/client/wire"
)

// A chat's mute against the list of its values. Reads, loads, writes of ours and of others, failures and invalidations
// interleave as in the test of histories. Where the class is replicated a load may miss what was acknowledged within the
// minute before it looked.
func TestMuteIsWhatWasAcknowledgedLast(t *testing.T) {
	for _, replicated := range []bool{false, true} {
		t.Run(fmt.Sprintf("replicated=%t", replicated), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) { newMuteWorld(rt, replicated).run() })
			})
		})
	}
}

type muteWorld struct {
	mu sync.Mutex // of loads, as they are added

	t          *rapid.T
	c          *Cache
	replicated bool
	ctx        context.Context

	values  []*muteValue // that the upstream has had, the present one last
	dropped time.Time
	reads   []*muteRead
	loads   []*muteLoad
	write   *muteWrite // under way
}

// muteValue is known by its end.
type muteValue struct {
	wire.Mute
	applied time.Time
	acked   time.Time // zero: not by us, or not yet
}

type muteRead struct {
	reading
	first  int // value that may be told at the earliest: the last one acknowledged before
	answer wire.Mute
}

type muteLoad struct {
	looked bool
	result LoadedMute
	answer chan error
}

// muteWrite is a write that ends as the test says.
type muteWrite struct {
	value  *muteValue
	answer chan error
}

func newMuteWorld(t *rapid.T, replicated bool) *muteWorld {
	c, err := New(Config{Bytes: 256 << 10, LoadTimeout: time.Hour, Failure: failureOfTest})
	if err != nil {
		t.Fatal(err)
	}
	return &muteWorld{t: t, c: c, replicated: replicated, ctx: context.Background(), values: []*muteValue{{}}}
}

func (w *muteWorld) run() {
	defer func() {
		for len(w.loads) > 0 {
			w.endLoad(0, errLoad)
		}
		w.endWrite(errLoad)
		w.c.Close()
		synctest.Wait()
	}()
	w.t.Repeat(map[string]func(*rapid.T){
		"read":      func(*rapid.T) { w.read() },
		"readWhole": func(*rapid.T) { w.readWhole(nil) },
		"readMore":  func(*rapid.T) { w.readWhole(nil) },
		"readFails": func(*rapid.T) { w.readWhole(drawFailure(w.t)) },
		"look":      func(*rapid.T) { w.pickLoad(w.look) },
		"endLoad":   func(*rapid.T) { w.pickLoad(func(i int) { w.look(i); w.endLoad(i, nil) }) },
		"failLoad":  func(*rapid.T) { w.pickLoad(func(i int) { w.endLoad(i, drawFailure(w.t)) }) },
		"begin":     func(*rapid.T) { w.begin() },
		"apply":     func(*rapid.T) { w.apply() },
		"ack":       func(*rapid.T) { w.apply(); w.endWrite(nil) },
		"put":       func(*rapid.T) { w.begin(); w.apply(); w.endWrite(nil) },
		"fail":      func(*rapid.T) { w.endWrite(errLoad) },
		"outside":   func(*rapid.T) { w.outside() },
		"drop":      func(*rapid.T) { w.c.DropChat("a"); w.dropped = time.Now() },
		"dropAll":   func(*rapid.T) { w.c.DropAll(); w.dropped = time.Now() },
		"wait":      func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond) },
		"waitLong":  func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(3, 45).Draw(t, "s")) * time.Second) },
		"":          func(*rapid.T) { w.check() },
	})
}

func (w *muteWorld) pickLoad(do func(int)) {
	if len(w.loads) == 0 {
		w.t.Skip("no load under way")
	}
	do(rapid.IntRange(0, len(w.loads)-1).Draw(w.t, "load"))
}

func (w *muteWorld) read() {
	r := &muteRead{reading: reading{
		policy: drawPolicy(w.t), directives: drawDirectives(w.t), started: time.Now(), dropped: w.dropped,
	}}
	for i, v := range w.values {
		if !v.acked.IsZero() {
			r.first = i
		}
	}
	w.reads = append(w.reads, r)
	go func() {
		r.answer, r.origin, r.err = muteOf(w.ctx, w.c, "a", r.policy, r.directives, func(ctx context.Context) (LoadedMute, error) {
			l := &muteLoad{answer: make(chan error)}
			w.mu.Lock() // two loads may begin at the same time
			w.loads = append(w.loads, l)
			r.loads = true
			w.mu.Unlock()
			err := <-l.answer
			return l.result, err
		})
		r.ended, r.done = time.Now(), true
	}()
	synctest.Wait()
}

// readWhole is a read whose load, if it makes one, ends at once.
func (w *muteWorld) readWhole(err error) {
	before := len(w.loads)
	w.read()
	for len(w.loads) > before {
		w.look(before)
		w.endLoad(before, err)
	}
}

// look is the moment at which a load sees the upstream.
func (w *muteWorld) look(i int) {
	l := w.loads[i]
	if l.looked {
		return
	}
	l.looked = true
	oldest := len(w.values) - 1
	for w.replicated && oldest > 0 && (w.values[oldest].acked.IsZero() || time.Since(w.values[oldest].acked) < replicaLag) {
		oldest--
	}
	v := w.values[rapid.IntRange(oldest, len(w.values)-1).Draw(w.t, "seen")]
	l.result = LoadedMute{Mute: v.Mute, Updated: v.applied, MayLag: w.replicated}
}

func (w *muteWorld) endLoad(i int, err error) {
	waiting := slices.DeleteFunc(slices.Clone(w.reads), func(r *muteRead) bool { return r.done })
	l := w.loads[i]
	w.loads = slices.Delete(w.loads, i, i+1)
	l.answer <- err
	synctest.Wait()
	for _, r := range waiting {
		if r.done && err != nil {
			r.checkFailure(w.t, err)
		}
	}
}

func (w *muteWorld) begin() {
	if w.write != nil {
		w.t.Skip("a write is under way")
	}
	time.Sleep(time.Millisecond) // at equal times nobody can tell which value is the newer one
	wr := &muteWrite{value: &muteValue{Mute: wire.Mute{Muted: true, Until: new(time.Unix(0, int64(len(w.values))))}}, answer: make(chan error)}
	w.write = wr
	go func() {
		write, err := w.c.BeginMute(w.ctx, "a")
		if err != nil {
			panic(err)
		}
		defer write.End()
		if err := <-wr.answer; err != nil {
			_ = write.Unknown(w.ctx)
			return
		}
		_ = write.Commit(w.ctx, wr.value.Mute)
		wr.value.acked = time.Now()
	}()
	synctest.Wait()
}

func (w *muteWorld) apply() {
	if w.write == nil {
		w.t.Skip("no write is under way")
	}
	if w.write.value.applied.IsZero() {
		w.add(w.write.value)
	}
}

func (w *muteWorld) add(v *muteValue) {
	v.applied = time.Now()
	w.values = append(w.values, v)
}

func (w *muteWorld) endWrite(err error) {
	if w.write == nil {
		return
	}
	w.write.answer <- err
	synctest.Wait()
	w.write = nil
	if err != nil {
		w.dropped = time.Now()
	}
}

// outside is a write of another's. Over replicas our own is laid over it for a minute.
func (w *muteWorld) outside() {
	if w.replicated || w.write != nil {
		w.t.Skip("not now")
	}
	w.add(&muteValue{Mute: wire.Mute{Muted: true, Until: new(time.Unix(0, int64(len(w.values))))}})
}

func (w *muteWorld) check() {
	synctest.Wait()
	w.reads = slices.DeleteFunc(w.reads, func(r *muteRead) bool {
		if r.done {
			w.checkRead(r)
		}
		return r.done
	})
	w.c.chats.verify(w.t)
}

func (w *muteWorld) checkRead(r *muteRead) {
	if r.err != nil {
		if errors.Is(r.err, ErrNotCached) != r.directives.OnlyIfCached { // checkFailure has looked at the other errors
			w.t.Fatalf("read with %+v: %v", r.directives, r.err)
		}
		return
	}
	if !r.mayBe() || r.loads && r.directives.OnlyIfCached {
		w.t.Fatalf("read with %+v, %+v from %v to %v: got %+v", r.policy, r.directives, r.started, r.ended, r.origin)
	}
	i := slices.IndexFunc(w.values, func(v *muteValue) bool { return v.Mute == r.answer })
	// A write that was under way at the drop is remembered, and is as old as its beginning.
	if i >= 0 && r.asOf().Before(r.dropped) && w.values[i].acked.Before(r.dropped) {
		w.t.Fatalf("read begun at %v: got %+v as of %v, it was dropped at %v", r.started, r.answer, r.asOf(), r.dropped)
	}
	if i < r.first {
		w.t.Fatalf("read begun at %v: got %+v, value %d of %d, value %d was acknowledged before", r.started, r.answer, i, len(w.values), r.first)
	}
	if next := i + 1; next < len(w.values) && w.values[next].applied.Before(r.asOf()) && !w.replicated {
		w.t.Fatalf("read begun at %v: got %+v as of %v, it was replaced at %v", r.started, r.answer, r.asOf(), w.values[next].applied)
	}
}
