package app

import (
	"runtime"

	"hearth/internal/settings"
)

// gcPercent is by how many percent the heap grows before garbage is collected. Hearth sets this and [settings.Settings.MemoryLimit] itself
// and ignores GOGC and GOMEMLIMIT, because a function sets those for its handler.
//
// With 128 and 512 MB and a full cache the memory limit decides when garbage is collected, and every percentage from 100 on gives the same. With
// 2 GB collections take 3 % of the CPU: 50 % would nearly double that, and 200 % would halve it for 80 MiB more of garbage without a better p99.
const gcPercent = 100

// gcPercentFor is twice gcPercent on Managed Instances. There a thousand connections with 2600 calls a second leave 50 MB of garbage a second, and
// each collection keeps two processors busy for 45 ms. Twice as much is one in two seconds, not one a second, and Hearth takes 200 MB, not 140 MB.
func gcPercentFor(s settings.Settings) int {
	if s.InitType == settings.InitManaged {
		return 2 * gcPercent
	}
	return gcPercent
}

// keepRoom makes the garbage collector run less often on Managed Instances, until giveBack is called. With little in the cache, the collector
// would run after every 4 MiB of garbage: several times while 64 invocations ask at once, and each time it scans the stacks of a thousand
// goroutines. That took 15 % of Hearth's CPU. keepRoom allocates a block that the collector counts as in use, so that the collector runs
// after 8 MiB more: then 9 %. With 16 MiB it would be 7 %, and Hearth would have 36 MiB of memory and not 30. No page of the block is
// written to, so the block takes no memory of the machine.
func keepRoom(s settings.Settings) (giveBack func()) {
	if s.InitType != settings.InitManaged {
		return func() {}
	}
	const room = 8 << 20
	block := make([]byte, room)
	return func() { runtime.KeepAlive(block) }
}
