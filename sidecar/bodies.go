package sidecar

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
	"hearth/sidecar/chat"
)

// Bounds and defaults of what calls take.
const (
	defaultMessages, maxMessages = 10, 200
	defaultFull, maxFull         = 5, 200
	defaultCount, maxCount       = 5, 100
	maxModels                    = 50    // of one request
	maxRoles                     = 3     // there are no more
	maxVector                    = 65535 // numbers, as in Weaviate
	maxArguments                 = 100   // of a call of Odoo: positional ones, and named ones
	maxProperties                = 100   // of a message
)

// decodeQuery reads the body of relevant.
func (s *Server) decodeQuery(r *request) (weaviate.Query, error) {
	o := r.object()
	q := weaviate.Query{
		Chat:   string(r.chat),
		Text:   o.text("text", "", 0, s.cfg.MaxBody),
		Count:  o.number("count", defaultCount, 1, maxCount),
		Vector: o.vector("vector"),
		Roles:  o.roles("roles"),
		Mode: weaviate.Mode(o.oneOf("mode", string(weaviate.Auto), string(weaviate.Auto), string(weaviate.BM25),
			string(weaviate.NearText), string(weaviate.NearVector), string(weaviate.Hybrid))),
	}
	switch {
	case q.Mode == weaviate.NearVector && q.Vector == nil:
		o.wrong("vector", "is required by mode near_vector")
	case q.Mode == weaviate.Auto && q.Vector != nil:
	case q.Mode != weaviate.NearVector && strings.TrimSpace(q.Text) == "":
		o.wrong("text", "is required, and must not be blank")
	}
	return q, o.err()
}

// decodeMute reads the body of PUT mute.
func decodeMute(o *object) (m wire.Mute, err error) {
	m.Muted = o.flag("muted")
	if !o.has("muted") {
		o.wrong("muted", "is required")
	}
	if until := o.instant("until"); !until.IsZero() {
		m.Until = &until
	}
	if !m.Muted && m.Until != nil {
		o.wrong("until", "goes with muted: true only")
	}
	o.rejectUnknown()
	return m, o.err()
}

// decodePreprocess reads the body of preprocess, and how long the call may take; 0: the body does not say.
func (s *Server) decodePreprocess(o *object) (q chat.Question, timeout time.Duration, err error) {
	q = chat.Question{
		Chat: o.requiredText("chat_id"), Text: o.requiredText("text"), Route: o.requiredText("route_name"),
		Count: o.number("relevant_count", defaultCount, 1, maxCount), Odoo: o.flag("enable_odoo"),
	}
	view := cache.View{
		Messages: o.number("num_messages", defaultMessages, 1, maxMessages),
		Full:     o.number("full_text_len", defaultFull, 0, maxFull),
	}
	if o.has("num_messages") || o.has("full_text_len") {
		q.History = &view
	}
	timeout = o.timeout()
	q.Vector = o.vector("vector")
	if err := o.err(); err != nil {
		return q, 0, err
	}
	if refusal := checkChat([]byte(q.Chat)); refusal != nil {
		return q, 0, refusal
	}
	return q, timeout, nil
}

// decodeCall reads the body of odoo/call. Unknown fields are refused on writes, and ignored on reads.
func (s *Server) decodeCall(o *object) (odoo.Call, error) {
	call := odoo.Call{Model: o.requiredText("model"), Method: o.requiredText("method")}
	if o.field("args", &call.Args, "an array") && len(call.Args) > maxArguments {
		o.wrong("args", fmt.Sprintf("may have %d elements", maxArguments))
	}
	if o.field("kwargs", &call.Kwargs, "an object") && len(call.Kwargs) > maxArguments {
		o.wrong("kwargs", fmt.Sprintf("may have %d fields", maxArguments))
	}
	if !s.cfg.Chat.IsRead(call.Method) {
		o.rejectUnknown()
	}
	return call, o.err()
}

// modelNames are the models that the query names; nil: it names none.
func (r *request) modelNames() ([]string, error) {
	if !r.has("names") {
		return nil, nil
	}
	names := splitNames(string(r.parameter("names")))
	if len(names) == 0 || len(names) > maxModels {
		return nil, wire.BadField("names", "must be 1 to 50 models, separated by commas")
	}
	for _, n := range names {
		if !odoo.ValidModel(n) {
			return nil, wire.BadField("names", "must hold names of models such as res.partner")
		}
	}
	return names, nil
}

// splitNames splits at commas, and leaves out blanks and repetitions.
func splitNames(list string) (names []string) {
	for n := range strings.SplitSeq(list, ",") {
		if n = strings.TrimSpace(n); n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// roles reads an array of roles; by default those of the two sides of a chat.
func (o *object) roles(name string) []string {
	roles := []string{wire.RoleUser, wire.RoleAssistant}
	if o.list(name, &roles, "an array of roles") && (len(roles) == 0 || len(roles) > maxRoles) {
		o.wrong(name, fmt.Sprintf("must have 1 to %d roles", maxRoles))
		return nil
	}
	for _, role := range roles {
		if !isRole(role) {
			o.wrong(name, "must hold user, assistant or system")
		}
	}
	return roles
}

func isRole(s string) bool {
	return s == wire.RoleUser || s == wire.RoleAssistant || s == wire.RoleSystem
}
