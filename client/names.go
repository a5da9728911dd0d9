package client

import "hearth/client/wire"

// DefaultAddr is where Hearth listens unless it is told otherwise.
const DefaultAddr = "127.0.0.1:2774"

// Paths of the API. {chat_id} stands for one percent-encoded segment.
const (
	PathHistory     = wire.PathHistory
	PathRelevant    = wire.PathRelevant
	PathMute        = wire.PathMute
	PathMessages    = wire.PathMessages
	PathPreprocess  = wire.PathPreprocess
	PathOdooModels  = wire.PathOdooModels
	PathOdooCall    = wire.PathOdooCall
	PathBatch       = wire.PathBatch
	PathFetch       = wire.PathFetch
	PathJob         = wire.PathJob
	PathTimings     = wire.PathTimings
	PathCache       = wire.PathCache
	PathHealth      = wire.PathHealth
	PathReady       = wire.PathReady
	PathDebugCache  = wire.PathDebugCache
	PathDebugPools  = wire.PathDebugPools
	PathInvocations = wire.PathInvocations
	PathAdvice      = wire.PathAdvice
)

// Headers of Hearth's own.
const (
	HeaderToken          = wire.HeaderToken
	HeaderTimeout        = wire.HeaderTimeout
	HeaderIdempotencyKey = wire.HeaderIdempotencyKey
	ServerName           = wire.ServerName
)

// Parts of a preprocess reply, as its errors, cache and timings name them.
const (
	PartMute     = wire.PartMute
	PartRelevant = wire.PartRelevant
	PartOdoo     = wire.PartOdoo
	PartHistory  = wire.PartHistory
)

// The roles of messages.
const (
	RoleUser      = wire.RoleUser
	RoleAssistant = wire.RoleAssistant
	RoleSystem    = wire.RoleSystem
)

// The outcomes of a write's messages.
const (
	OutcomeStored  = wire.OutcomeStored
	OutcomeFailed  = wire.OutcomeFailed
	OutcomeUnknown = wire.OutcomeUnknown
)

// The bodies of requests and replies.
type (
	Role              = wire.Role
	Message           = wire.Message
	ScoredMessage     = wire.ScoredMessage
	PromptMessage     = wire.PromptMessage
	History           = wire.History
	RelevantRequest   = wire.RelevantRequest
	Relevant          = wire.Relevant
	Mute              = wire.Mute
	MuteStatus        = wire.MuteStatus
	NewMessage        = wire.NewMessage
	Appended          = wire.Appended
	PreprocessRequest = wire.PreprocessRequest
	Preprocess        = wire.Preprocess
	Model             = wire.Model
	Models            = wire.Models
	Call              = wire.Call
	Result            = wire.Result
	FetchRequest      = wire.FetchRequest
	Fetched           = wire.Fetched
	Job               = wire.Job
	Dropped           = wire.Dropped
	Timings           = wire.Timings
	Timing            = wire.Timing
	Batch             = wire.Batch
	BatchRequest      = wire.BatchRequest
	BatchReply        = wire.BatchReply
	BatchResponse     = wire.BatchResponse
	Readiness         = wire.Readiness
	UpstreamState     = wire.UpstreamState
	CacheStats        = wire.CacheStats
	CacheCounts       = wire.CacheCounts
	Pools             = wire.Pools
	UpstreamStats     = wire.UpstreamStats
	PoolStats         = wire.PoolStats
	BreakerStats      = wire.BreakerStats
	Quantiles         = wire.Quantiles
	Invocations       = wire.Invocations
	Invocation        = wire.Invocation
	InvocationCounts  = wire.InvocationCounts
	Operation         = wire.Operation
	OperationStats    = wire.OperationStats
	Advice            = wire.Advice
)

// Errors of Hearth. The constants of the kinds are in the package wire.
type (
	Problem     = wire.Problem
	Kind        = wire.Kind
	ItemOutcome = wire.ItemOutcome
	Outcome     = wire.Outcome
)
