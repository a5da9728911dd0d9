package wire

import (
	"encoding/json"
	"time"
)

// Role says who wrote a message. It is a plain string, so that programs can compare it with strings of their own.
type Role = string

// The roles. A history has messages of the user and of the assistant.
const (
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleSystem    Role = "system"
)

// Message is one message of a chat. CreatedAt is in UTC.
type Message struct {
	ID        string    `json:"id"`
	Role      Role      `json:"role"`
	Content   string    `json:"content"`
	CreatedAt time.Time `json:"created_at"`
}

// ScoredMessage is a relevant message. A higher score is better. Scores of different replies cannot be compared.
type ScoredMessage struct {
	Message
	Score float64 `json:"score"`
}

// PromptMessage is a message in the form that prompts use.
type PromptMessage struct {
	Role    Role   `json:"role"`
	Content string `json:"content"`
}

// History is the reply of GET history. The lists of messages are whole and oldest first. MsgHistory is made for a prompt: it
// has only the beginnings of older messages.
type History struct {
	ChatID            string          `json:"chat_id"`
	MsgHistory        []PromptMessage `json:"msg_history"`
	AllMessages       []Message       `json:"all_messages"`
	UserMessages      []Message       `json:"user_messages"`
	AssistantMessages []Message       `json:"assistant_messages"`
}

// RelevantRequest is the body of POST relevant. A field that is left out has the API's default.
type RelevantRequest struct {
	Text   string    `json:"text,omitempty"`
	Count  int       `json:"count,omitempty"`
	Mode   string    `json:"mode,omitempty"` // auto, bm25, near_text, near_vector or hybrid
	Vector []float32 `json:"vector,omitempty"`
	Roles  []Role    `json:"roles,omitempty"`
}

// Relevant is the reply of POST relevant, best first. Mode is the mode that was used, never auto.
type Relevant struct {
	Mode             string          `json:"mode"`
	RelevantMessages []ScoredMessage `json:"relevant_messages"`
}

// Mute is the reply of GET mute and the body of PUT mute. A mute without Until has no end.
type Mute struct {
	Muted bool       `json:"muted"`
	Until *time.Time `json:"until,omitempty"`
}

// MuteStatus says in a preprocess reply whether the bot is muted in the chat.
type MuteStatus struct {
	Muted bool `json:"muted"`
}

// NewMessage is a message to write. ID is any string of up to 128 bytes that names the message within its chat. A message with
// an ID can be sent again and changes nothing.
type NewMessage struct {
	Role       Role           `json:"role"`
	Content    string         `json:"content"`
	ID         string         `json:"id,omitempty"`
	CreatedAt  time.Time      `json:"created_at,omitzero"`
	Vector     []float32      `json:"vector,omitempty"`
	Properties map[string]any `json:"properties,omitempty"`
}

// Appended is the reply of POST messages: the objects' UUIDs in the order of the messages.
type Appended struct {
	IDs []string `json:"ids"`
}

// PreprocessRequest is the body of POST preprocess. A field that is left out has the API's default.
type PreprocessRequest struct {
	ChatID        string    `json:"chat_id"`
	Text          string    `json:"text"`
	RouteName     string    `json:"route_name"`
	RelevantCount int       `json:"relevant_count,omitempty"`
	EnableOdoo    bool      `json:"enable_odoo,omitempty"`
	NumMessages   int       `json:"num_messages,omitempty"`
	FullTextLen   *int      `json:"full_text_len,omitempty"`
	TimeoutMS     int       `json:"timeout_ms,omitempty"`
	Vector        []float32 `json:"vector,omitempty"`
}

// Preprocess is the reply of POST preprocess. A part that failed is nil, and Errors says why. Errors says under "odoo_models."
// and a model's name why OdooModels has no such model.
type Preprocess struct {
	ChatID           string              `json:"chat_id"`
	MuteStatus       *MuteStatus         `json:"mute_status,omitempty"`
	RelevantMessages []ScoredMessage     `json:"relevant_messages,omitempty"`
	OdooModels       map[string]Model    `json:"odoo_models,omitempty"`
	History          *History            `json:"history,omitempty"`
	Errors           map[string]*Problem `json:"errors,omitempty"`
	Cache            map[string]string   `json:"cache"`   // hit, miss or stale
	Timings          map[string]float64  `json:"timings"` // milliseconds
}

// Model is an Odoo model: its display name and its fields' attributes by name.
type Model struct {
	Name   string                     `json:"name"`
	Fields map[string]json.RawMessage `json:"fields"`
}

// Models is the reply of GET odoo/models. A model that could not be read is missing, and Errors says why.
type Models struct {
	Models map[string]Model    `json:"models"`
	Errors map[string]*Problem `json:"errors,omitempty"`
}

// Call is the body of POST odoo/call.
type Call struct {
	Model  string         `json:"model"`
	Method string         `json:"method"`
	Args   []any          `json:"args,omitempty"`
	Kwargs map[string]any `json:"kwargs,omitempty"`
}

// Result is the reply of POST odoo/call.
type Result struct {
	Result json.RawMessage `json:"result"`
}

// FetchRequest is the body of POST fetch. A field that is left out has the API's default.
type FetchRequest struct {
	URL        string            `json:"url"`
	Method     string            `json:"method,omitempty"` // GET by default
	Headers    map[string]string `json:"headers,omitempty"`
	Body       string            `json:"body,omitempty"`
	BodyBase64 []byte            `json:"body_base64,omitempty"` // in place of Body, for bytes that are no text
	TimeoutMS  int               `json:"timeout_ms,omitempty"`
	Async      bool              `json:"async,omitempty"` // the reply is a job
}

// Fetched is the reply of POST fetch, and of GET job once the job is done: the other server's answer, whatever its status. The values of
// a repeated header are joined by ", ", those of Set-Cookie by a line feed.
type Fetched struct {
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	BodyBase64 []byte            `json:"body_base64,omitempty"` // in place of Body, if that is no UTF-8
}

// Bytes returns the answer's body, whether it is text or not.
func (f *Fetched) Bytes() []byte {
	if f.BodyBase64 != nil {
		return f.BodyBase64
	}
	return []byte(f.Body)
}

// Job is the reply of POST fetch with async, and of GET job while the job is not done.
type Job struct {
	Job string `json:"job"`
}

// Dropped is the reply of DELETE cache: the number of entries dropped.
type Dropped struct {
	Dropped int `json:"dropped"`
}

// Health is the reply of GET healthz.
type Health struct {
	Status string `json:"status"` // ok
}

// Readiness is the reply of GET readyz, each upstream's state by its name.
type Readiness struct {
	Ready     bool                     `json:"ready"`
	Upstreams map[string]UpstreamState `json:"upstreams"`
	Fault     string                   `json:"fault,omitempty"` // what is wrong with the settings or the addresses
}

// UpstreamState is how an upstream stands.
type UpstreamState struct {
	State  string `json:"state"` // one of the states below
	Detail string `json:"detail,omitempty"`
}

// The states of an upstream.
const (
	StateReached       = "reached"     // it has answered a question of the kind that requests ask
	StateNotReached    = "not reached" // Detail says why
	StateNotConfigured = "not configured"
)
