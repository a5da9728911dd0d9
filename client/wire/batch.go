package wire

import (
	"encoding/json"
	"fmt"
)

// Bounds of a batch.
const (
	MaxBatch   = 100 // requests of one batch, and the most of MaxParallel
	MaxBatchID = 128 // bytes of a request's id

)

// Batch is the body of POST batch: 1 to 100 calls of the API that run side by side. They run in no order, unless MaxParallel is 1. A field
// that is left out has the API's default.
type Batch struct {
	Requests    []BatchRequest `json:"requests"`
	TimeoutMS   int            `json:"timeout_ms,omitempty"`   // of all requests together
	MaxParallel int            `json:"max_parallel,omitempty"` // 1 to 100 requests at once; default HEARTH_WORKERS
}

// BatchRequest is one call of a batch.
type BatchRequest struct {
	ID     string `json:"id"`     // names the request within its batch: 1 to 128 bytes
	Method string `json:"method"` // as in HTTP
	Path   string `json:"path"`   // with the query, encoded as in HTTP: /v1/chats/42/history?num_messages=3
	// Headers are those that the call would have: see [BatchHeaders].
	Headers   map[string]string `json:"headers,omitempty"`
	Body      any               `json:"body,omitempty"` // encodes as the JSON body that the call would have; nil: none
	TimeoutMS int               `json:"timeout_ms,omitempty"`
}

// BatchHeaders returns the headers that a request of a batch may have, in any case. A trace header that is missing is taken from the batch.
func BatchHeaders() []string {
	return []string{
		"Cache-Control", "Content-Type", HeaderIdempotencyKey, "If-None-Match", "traceparent", "tracestate", "X-Amzn-Trace-Id", "X-Hearth-Timeout-Ms",
	}
}

// BatchReply is the reply of POST batch: one response for each request, in the order of the requests.
type BatchReply struct {
	Responses []BatchResponse `json:"responses"`
}

// BatchResponse is the answer to one request of a batch, as it would have been to the call alone.
type BatchResponse struct {
	ID      string            `json:"id"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"` // null if the answer has none
}

// Decode decodes the body into v, unless v is nil. If the call failed, it returns a *[Problem] instead.
func (r BatchResponse) Decode(v any) error {
	if r.Status/100 != 2 {
		p := &Problem{}
		if err := json.Unmarshal(r.Body, p); err != nil || p.Title == "" {
			p = &Problem{Title: fmt.Sprintf("Status %d", r.Status)} // such as 304
		}
		p.Status = r.Status
		return p
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(r.Body, v); err != nil {
		return fmt.Errorf("hearth: the answer to %q cannot be read: %w", r.ID, err)
	}
	return nil
}
