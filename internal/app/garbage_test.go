package app

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"hearth/internal/settings"
)

func TestOnManagedInstancesThereIsRoomForGarbage(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	const slack = 4 << 20
	goal := func() uint64 { // how large the heap grows before the next collection
		runtime.GC()
		at := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
		metrics.Read(at)
		return at[0].Value.Uint64()
	}
	for init, more := range map[string]uint64{settings.InitManaged: 16 << 20, settings.InitSnapStart: 0, "": 0} {
		before := goal()
		giveBack := keepRoom(settings.Settings{InitType: init})
		with := goal()
		giveBack()
		if after := goal(); with+slack < before+more || with > before+more+slack || after > before+slack {
			t.Errorf("%q: the heap grows to %d bytes, before that to %d, after that to %d", init, with, before, after)
		}
	}
}
