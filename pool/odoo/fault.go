package odoo

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

const (
	maxMessage = 1 << 10 // bytes of a message handed on
	maxText    = 1 << 16 // bytes of Odoo's text that are looked at for it
	unnamed    = "ServerError"
	traceback  = "Traceback (most recent call last)"
)

// fault is an exception as both protocols describe it. The field debug, a traceback, is not read.
type fault struct {
	Name      string          `json:"name"` // with the module: odoo.exceptions.AccessError
	Message   json.RawMessage `json:"message"`
	Arguments json.RawMessage `json:"arguments"`

	json2 bool // JSON-2 told it, JSON-RPC otherwise
	said  Kind // by JSON-2's status
}

// toError says what the exception means to the caller of c. It goes by the exception's name, which both protocols have. The status
// of JSON-2 counts only if the name is not known here.
func (f fault) toError(c Call, db string) *Error {
	module, name := "", f.Name
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		module, name = name[:i], name[i+1:]
	}
	if len(name) > maxName || !isMethod(name) { // not the name of a class
		name = unnamed
	}
	text := jsonString(f.Message)
	if module == "werkzeug.exceptions" {
		text = withoutStatus(text)
	}
	e := &Error{Kind: Failed, Name: name, Message: sanitize(text), outage: true} // until the fault is recognized

	switch {
	case module == "werkzeug.exceptions":
		f.fromHTTP(e, c, db)
	case strings.HasPrefix(module, "psycopg2"):
		f.fromDatabase(e, db)
	default:
		f.fromPython(e, c)
	}
	if e.Message == "" {
		e.Message = "Odoo gave no reason"
	}
	e.outage = e.outage && e.Kind == Failed
	return e
}

func (f fault) fromPython(e *Error, c Call) {
	switch e.Name {
	case "AccessDenied", "SessionExpiredException":
		*e = *credentialsRefused()
	case "AccessError":
		e.Kind = Forbidden
	case "MissingError":
		e.Kind = NotFound
	case "LockError", "ConcurrencyError":
		e.Kind, e.Retryable = Conflict, true
	case "UserError":
		e.Kind = Rejected
		if e.Message == "Object "+c.Model+" doesn't exist" {
			e.unknownModel(c)
		}
	case "ValidationError", "Warning", "except_orm":
		e.Kind = Rejected
	case "RedirectWarning": // the message lists the arguments: only the first is for people
		e.Kind = Rejected
		var args [1]json.RawMessage // the rest is passed over
		if json.Unmarshal(f.Arguments, &args) == nil && jsonString(args[0]) != "" {
			e.Message = sanitize(jsonString(args[0]))
		}
	case "ValueError", "AssertionError":
		if ofTheCaller(e.Message) {
			e.Kind = Rejected
		}
	case "KeyError":
		switch name := strings.Trim(e.Message, `'"`); {
		case !f.json2 && name == c.Model:
			e.unknownModel(c)
		case c.writes(name):
			e.Kind, e.Name = Rejected, "ValueError" // as of create
			e.Message = "Invalid field '" + name + "' on model '" + c.Model + "'"
		}
	case "AttributeError":
		if saysNoMethod(e.Message, c) {
			e.unknownMethod(c)
		}
	case "TypeError":
		if what := misfit(e.Message, c.Method); what != "" && !f.json2 {
			e.badArguments(c, what)
		} else if ofTheCaller(e.Message) {
			e.Kind = Rejected
		}
	default: // perhaps a subclass of UserError: JSON-2 says so by its status, JSON-RPC does not
		if f.json2 {
			e.Kind, e.Retryable = f.said, f.said == Conflict
		}
	}
}

// fromHTTP is about exceptions of werkzeug. JSON-2 raises them for some failures that are exceptions of Python in JSON-RPC. Methods
// that are made for browsers raise them too.
func (f fault) fromHTTP(e *Error, c Call, db string) {
	switch e.Name {
	case "Unauthorized":
		*e = *credentialsRefused()
	case "Forbidden":
		e.Kind = Forbidden
	case "NotFound":
		e.Kind = NotFound
		switch {
		case e.Message == "the model '"+c.Model+"' does not exist":
			e.unknownModel(c)
		case saysNoMethod(e.Message, c):
			e.unknownMethod(c)
		case strings.HasPrefix(e.Message, "The requested URL was not found"):
			p := JSONRPC
			if f.json2 {
				p = JSON2
			}
			*e = *protocolMissing(p, db)
		}
	case "Conflict":
		e.Kind, e.Retryable = Conflict, true
	case "UnprocessableEntity":
		e.Kind = Rejected
		if f.json2 {
			e.badArguments(c, e.Message)
		}
	case "BadRequest":
		e.Kind = Rejected
	}
}

// fromDatabase is about exceptions of PostgreSQL. Their messages may hold SQL, addresses and rows: most are replaced.
func (f fault) fromDatabase(e *Error, db string) {
	text := e.Message
	e.Message, _, _ = strings.Cut(text, "\n")
	switch e.Name {
	case "SerializationFailure", "DeadlockDetected", "LockNotAvailable", "TransactionRollbackError":
		e.Kind, e.Retryable = Conflict, true // Odoo has tried five times and rolled back
		e.Name, e.Message = "ConcurrencyError", "the records were being changed by somebody else"
	case "InvalidRowCountInLimitClause", "InvalidRowCountInResultOffsetClause", "InvalidTextRepresentation":
		e.Kind, e.Name = Rejected, "ValueError"
	case "OperationalError", "InterfaceError", "AdminShutdown", "CrashShutdown":
		if strings.Contains(text, `database "`+db+`" does not exist`) {
			*e = *unknownDatabase(db)
			return
		}
		// The connection may have been lost while committing.
		e.Name, e.Message = "DatabaseError", "Odoo lost its database or cannot reach it"
		e.Retryable, e.mayHaveRun = true, true
	}
}

func (e *Error) unknownModel(c Call) {
	e.Kind, e.Name, e.Message = NotFound, "UnknownModel", "the model "+c.Model+" does not exist"
}

func (e *Error) unknownMethod(c Call) {
	e.Kind, e.Name = NotFound, "UnknownMethod"
	e.Message = "the method " + c.Model + "." + c.Method + " does not exist"
}

func (e *Error) badArguments(c Call, what string) {
	e.Kind, e.Name = Rejected, "BadArguments"
	e.Message = sanitize("the arguments do not fit " + c.Method + ": " + what)
}

// ofTheCaller says whether the text of a ValueError, an AssertionError or a TypeError is about what the caller gave.
func ofTheCaller(text string) bool {
	for _, begins := range []string{
		"Invalid field ", "Invalid leaf ", "Invalid operator in condition ", "Domain() invalid ", "Domains to normalize must ",
		"Invalid access mode", "Wrong value for ",
	} {
		if strings.HasPrefix(text, begins) {
			return true
		}
	}
	return false
}

// writes says whether the call writes to a field of that name.
func (c Call) writes(field string) bool {
	if c.Method != "write" {
		return false
	}
	raw := c.Kwargs["vals"]
	if len(c.Args) > 0 {
		raw = c.Args[0]
	}
	var vals map[string]json.RawMessage
	return json.Unmarshal(raw, &vals) == nil && vals[field] != nil
}

// saysNoMethod says whether the text is that the method is unknown: an AttributeError may come from within a known one.
func saysNoMethod(text string, c Call) bool {
	return text == "The method '"+c.Model+"."+c.Method+"' does not exist" || // Odoo 17 and later
		text == "type object '"+c.Model+"' has no attribute '"+c.Method+"'"
}

// misfit says, in the words of JSON-2, why the arguments do not fit the method. It is empty if the text of a TypeError is about
// something else.
func misfit(text, method string) string {
	name, what, ok := strings.Cut(text, "() ")
	if i := strings.LastIndexByte(name, '.'); !ok || name[i+1:] != method {
		return ""
	}
	_, after, _ := strings.Cut(what, "'")
	quoted, _, _ := strings.Cut(after, "'")
	switch {
	case strings.HasPrefix(what, "missing "):
		return "missing a required argument: '" + quoted + "'"
	case strings.HasPrefix(what, "got an unexpected keyword argument "):
		return "got an unexpected keyword argument '" + quoted + "'"
	case strings.HasPrefix(what, "got multiple values for argument "):
		return "multiple values for argument '" + quoted + "'"
	case strings.HasPrefix(what, "takes "):
		return "too many positional arguments"
	}
	return ""
}

// withoutStatus drops the "404 Not Found: " that werkzeug puts before a description.
func withoutStatus(text string) string {
	status, rest, ok := strings.Cut(text, ": ")
	if ok && len(status) > 4 && status[3] == ' ' && status[0] >= '4' && status[0] <= '5' {
		return rest
	}
	return text
}

// sanitize makes a message fit to be handed on: without tracebacks and control characters other than newlines, and of at most
// maxMessage bytes.
func sanitize(text string) string {
	text, _, _ = strings.Cut(text[:min(len(text), maxText)], traceback)
	kept := make([]string, 0, 8)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), `File "`) {
			kept = append(kept, line)
		}
	}
	text = strings.Map(func(r rune) rune {
		if r != '\n' && (r < ' ' || r == 0x7f) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.Join(kept, ""), "�"))
	text = strings.TrimSpace(text)
	if len(text) <= maxMessage {
		return text
	}
	end := maxMessage - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// jsonString is the string that raw is; "": raw is none.
func jsonString(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// IsOwnError says whether the body of an answer of JSON-2 is an exception that a call has raised, so that Odoo itself works. An
// exception of PostgreSQL may mean that it does not.
func IsOwnError(body []byte) bool {
	var e struct {
		Name string `json:"name"`
	}
	return json.Unmarshal(body, &e) == nil && e.Name != "" && !strings.HasPrefix(e.Name, "psycopg2.")
}
