// Package wire is the language of the localhost API: its paths and headers (this file), the bodies of requests and replies
// (bodies.go, timings.go, cachestats.go, poolstats.go, invocations.go), its errors (problem.go), and the rules that both sides keep: which addresses are this machine
// (address.go) and what the token is (token.go). The sidecar and the Go client share it, and a message, a role and a mute have
// no other type anywhere in Hearth.
//
// The package does no I/O. It imports nothing but the standard library.
package wire

import "time"

// Paths of the API. {chat_id} stands for one percent-encoded segment.
const (
	PathHistory     = "/v1/chats/{chat_id}/history"
	PathRelevant    = "/v1/chats/{chat_id}/relevant"
	PathMute        = "/v1/chats/{chat_id}/mute"
	PathMessages    = "/v1/chats/{chat_id}/messages"
	PathPreprocess  = "/v1/preprocess"
	PathOdooModels  = "/v1/odoo/models"
	PathOdooCall    = "/v1/odoo/call"
	PathBatch       = "/v1/batch"
	PathFetch       = "/v1/fetch"
	PathJob         = "/v1/jobs/{job}"
	PathCache       = "/v1/cache"
	PathHealth      = "/healthz"
	PathReady       = "/readyz"
	PathDebugCache  = "/debug/cache"
	PathDebugPools  = "/debug/pools"
	PathTimings     = "/v1/timings"
	PathInvocations = "/debug/invocations"
	PathAdvice      = "/debug/advice"
	PathMetrics     = "/metrics"
	PathPage        = "/debug/"
	PathOpenAPI     = "/openapi.json"
)

// Headers of Hearth's own.
const (
	HeaderToken          = "X-Hearth-Token"
	HeaderIdempotencyKey = "Idempotency-Key"
	HeaderTimeout        = "X-Hearth-Timeout-Ms" // how many milliseconds the caller's invocation has left
	ServerName           = "hearth"              // value of the Server header of every reply
)

// MaxTimeout is the longest time that an invocation can have left: Lambda's own bound. A longer one is not to be trusted.
const MaxTimeout = 15 * time.Minute

// Parts of a preprocess reply, as its errors, cache and timings name them.
const (
	PartMute     = "mute_status"
	PartRelevant = "relevant_messages"
	PartOdoo     = "odoo_models"
	PartHistory  = "history"
)
