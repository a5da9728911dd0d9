package wire

// Pools is the reply of GET /debug/pools: the upstreams by their names, and the hosts that were fetched from by their URLs.
type Pools map[string]UpstreamStats

// UpstreamStats are the statistics of an upstream and, where it has a pool for gRPC beside the one for REST, those of each.
type UpstreamStats struct {
	PoolStats

	GRPC *PoolStats `json:"grpc,omitempty"`
	REST *PoolStats `json:"rest,omitempty"`
}

// PoolStats is what a pool has done since it was made, and its state at one moment.
type PoolStats struct {
	Size  int `json:"size"`   // requests at the same time at most, and connections kept
	Limit int `json:"limit"`  // requests at the same time now: it follows the demand
	Open  int `json:"open"`   // connections open now
	Idle  int `json:"idle"`   // of them, those that no request uses
	InUse int `json:"in_use"` // requests that hold a slot now
	Queue int `json:"queue"`  // requests that wait for a slot now

	Requests       int64 `json:"requests"`        // tries sent, retries included
	Failures       int64 `json:"failures"`        // tries without an answer
	Retries        int64 `json:"retries"`         // tries after a first one
	RetriesRefused int64 `json:"retries_refused"` // retries that were not sent because their budget was used up
	Dials          int64 `json:"dials"`           // connections begun
	DialErrors     int64 `json:"dial_errors"`     // of them, those that failed
	Reused         int64 `json:"reused"`          // tries over a connection that was open before they came
	Races          int64 `json:"races"`           // tries sent over a second connection because the first may be dead: after a freeze, or after another connection was found dead
	Replays        int64 `json:"replays"`         // tries sent again at once because the connection broke, or was found dead
	Looks          int64 `json:"looks"`           // looks at the connection of a request that had no answer for long
	Dead           int64 `json:"dead"`            // connections that a look has found dead
	Hedges         int64 `json:"hedges"`          // tries sent beside a first one because the upstream was slow
	Handshakes     int64 `json:"handshakes"`      // TLS handshakes finished
	Resumed        int64 `json:"resumed"`         // of them, those that resumed a session
	Waits          int64 `json:"waits"`           // requests that had to wait for a slot
	Rejected       int64 `json:"rejected"`        // requests refused because the queue was full

	Breaker BreakerStats `json:"breaker"`

	WaitMS    float64   `json:"wait_ms"`       // waited for slots in all
	RoundTrip Quantiles `json:"round_trip_ms"` // connection in hand to first byte of the answer
}

// BreakerStats is the breaker of an upstream. Its pools share it.
type BreakerStats struct {
	State   BreakerState `json:"state"`
	Opened  int64        `json:"opened"`  // times that it has opened
	Refused int64        `json:"refused"` // tries that were not sent because it was open: one call may have several
	Probes  int64        `json:"probes"`  // requests by which Hearth itself asks whether the upstream answers again
}

// BreakerState is the state of a breaker. It is a plain string.
type BreakerState = string

// The states.
const (
	BreakerClosed   BreakerState = "closed"    // every request is sent
	BreakerOpen     BreakerState = "open"      // none is
	BreakerHalfOpen BreakerState = "half-open" // as open, and a probe is under way or due
)

// Quantiles of the last 512 observations, in milliseconds.
type Quantiles struct {
	Count int64   `json:"count"` // observations in all
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}
