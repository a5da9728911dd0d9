package app

import "hearth/internal/settings"

// gcPercent is by how many percent the heap grows before garbage is collected. Hearth sets this and [settings.Settings.MemoryLimit] itself
// and ignores GOGC and GOMEMLIMIT, because a function sets those for its handler.
//
// With 128 and 512 MB and a full cache the memory limit decides when garbage is collected, and every percentage from 100 on gives the same. With
// 2 GB on demand collections take 3 % of the CPU: 50 % would nearly double that, and 200 % would halve it for 80 MiB more of garbage without a
// better p99.
const gcPercent = 100

// gcPercentFor is more than gcPercent on Managed Instances, which have at least 2 GB. With little in the cache, a collection would come after every 4 MiB
// of garbage, and scan the stacks of a thousand goroutines while 64 invocations ask at once. With a thousand connections and 2600 calls a second,
// there was one collection a second, and each kept two processors busy for 45 ms.
func gcPercentFor(s settings.Settings) int {
	if s.InitType == settings.InitManaged {
		return 5 * gcPercent
	}
	return gcPercent
}
