package wire

// Invocations is the reply of GET debug/invocations.
type Invocations struct {
	Invocations []Invocation              `json:"invocations"` // the newest first, at most 200
	Operations  map[string]OperationStats `json:"operations"`  // of these invocations, by the operation's name
}

// Invocation is what happened in one invocation of the function.
type Invocation struct {
	ID         string   `json:"id"` // the Root of its X-Amzn-Trace-Id; empty if its calls had none
	RequestID  string   `json:"request_id,omitempty"`
	Began      string   `json:"began"` // RFC 3339 with milliseconds: when its first call came
	Cold       bool     `json:"cold"`  // it was the first of this process
	FrozenMS   float64  `json:"frozen_ms"`
	DurationMS float64  `json:"duration_ms"` // until the last reply of Hearth
	FunctionMS *float64 `json:"function_ms,omitempty"`

	Operations        []Operation `json:"operations"` // Hearth's own
	DroppedOperations int         `json:"dropped_operations,omitempty"`
	Timings           []Timing    `json:"timings"` // what the handler has measured

	InvocationCounts

	Late bool `json:"late"` // its metrics were written after the next invocation had begun, or at the end of the process
}

// InvocationCounts are what the cache and the pools did during an invocation.
type InvocationCounts struct {
	Hits        int64   `json:"hits"`
	Misses      int64   `json:"misses"`
	Stale       int64   `json:"stale"`
	Dials       int64   `json:"dials"`
	Reused      int64   `json:"reused"`
	Retries     int64   `json:"retries"`
	BreakerOpen int64   `json:"breaker_open"` // requests that were not sent because a breaker was open
	QueueWaitMS float64 `json:"queue_wait_ms"`
	Thaws       int64   `json:"thaws"`
}

// Operation is one call of Hearth's API.
type Operation struct {
	Operation  string  `json:"operation"` // such as hearth.history
	Route      string  `json:"route"`     // the method and the path's pattern
	StartMS    float64 `json:"start_ms"`  // after the invocation began
	DurationMS float64 `json:"duration_ms"`
	Status     int     `json:"status"`
	Cache      any     `json:"cache,omitempty"` // hit, miss or stale; of a preprocess, one of them for each part
}

// Where a reply, or a part of a preprocess, came from.
const (
	CacheHit   = "hit"
	CacheMiss  = "miss"
	CacheStale = "stale"
)

// OperationStats are the durations of one operation.
type OperationStats struct {
	Count int     `json:"count"`
	P50MS float64 `json:"p50_ms"`
	P90MS float64 `json:"p90_ms"`
	P99MS float64 `json:"p99_ms"`
	MaxMS float64 `json:"max_ms"`
}

// Advices is the reply of GET debug/advice.
type Advices struct {
	Advice []Advice `json:"advice"`
}

// Advice says what to change, and why.
type Advice struct {
	Rule       string `json:"rule"` // such as odoo-ceiling
	Text       string `json:"text"` // sentences with what was measured
	Setting    string `json:"setting,omitempty"`
	Suggestion string `json:"suggestion,omitempty"` // a value of Setting
}
