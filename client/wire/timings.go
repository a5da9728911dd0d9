package wire

// Timings is the body of POST timings: what a handler has measured in one invocation.
type Timings struct {
	RequestID  string   `json:"request_id,omitempty"`  // of the invocation; a second body with the same one counts nothing
	FunctionMS *float64 `json:"function_ms,omitempty"` // how long the handler took
	Timings    []Timing `json:"timings"`               // at most [MaxTimings]
}

// Timing is one operation of a handler.
type Timing struct {
	Operation  string  `json:"operation"` // 1 to [MaxOperation] characters
	DurationMS float64 `json:"duration_ms"`
	Error      any     `json:"error,omitempty"` // why it failed, or true or false
}

// Limits of [Timings].
const (
	MaxTimings   = 100
	MaxOperation = 128 // characters
)
