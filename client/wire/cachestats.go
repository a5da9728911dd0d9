package wire

// CacheStats is what the cache has done since it was made, and what it holds: the reply of GET debug/cache.
type CacheStats struct {
	CacheCounts                        // of all resources together
	MaxBytes    int64                  `json:"max_bytes"`
	Evictions   int64                  `json:"evictions"` // removed to make room
	Rejected    int64                  `json:"rejected"`  // not let in: no room, or too seldom used
	Resources   map[string]CacheCounts `json:"resources"` // history, mute, relevant, odoo_read, odoo_models, and fetch once it was used
}

// CacheCounts are the counters of one resource, or of all.
type CacheCounts struct {
	Hits     int64   `json:"hits"`      // reads answered fresh from memory
	Misses   int64   `json:"misses"`    // reads that had to wait for a load, their own or another's
	Stale    int64   `json:"stale"`     // reads answered from memory although it was no longer fresh
	Errors   int64   `json:"errors"`    // loads that failed
	HitRatio float64 `json:"hit_ratio"` // (hits + stale) / (hits + stale + misses)
	Entries  int64   `json:"entries"`   // held now
	Bytes    int64   `json:"bytes"`     // held now, overhead included
}
