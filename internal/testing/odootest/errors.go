package odootest

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

var errExtra = errors.New("Extra data") //nolint:staticcheck // Python's words

// Error is a Python exception: its class, its text, and the status it has under JSON-2.
type Error struct {
	Status int
	Name   string
	Args   []any
}

func (e *Error) message() string {
	if len(e.Args) == 0 {
		return ""
	}
	return fmt.Sprint(e.Args[0])
}

// body carries a traceback, as the real one does: whoever asks must not pass it on.
func (e *Error) body() map[string]any {
	return map[string]any{
		"name": e.Name, "message": e.message(), "arguments": e.Args, "context": map[string]any{},
		"debug": "Traceback (most recent call last):\n  File \"/usr/lib/python3/dist-packages/odoo/http.py\", line 1, in dispatch\n" +
			e.Name + ": " + e.message() + "\n",
	}
}

func exception(status int, name, format string, args ...any) *Error {
	return &Error{status, name, []any{fmt.Sprintf(format, args...)}}
}

// httpError is one of werkzeug's: its status is its second argument.
func httpError(status int, name, msg string) *Error {
	return &Error{status, "werkzeug.exceptions." + name, []any{msg, status}}
}

func userError(format string, args ...any) *Error {
	return exception(http.StatusUnprocessableEntity, "odoo.exceptions.UserError", format, args...)
}

func validationError(format string, args ...any) *Error {
	return exception(http.StatusUnprocessableEntity, "odoo.exceptions.ValidationError", format, args...)
}

func accessError(format string, args ...any) *Error {
	return exception(http.StatusForbidden, "odoo.exceptions.AccessError", format, args...)
}

func lockError(format string, args ...any) *Error {
	return exception(http.StatusConflict, "odoo.exceptions.LockError", format, args...)
}

func valueError(format string, args ...any) *Error {
	return exception(http.StatusInternalServerError, "builtins.ValueError", format, args...)
}

func typeError(format string, args ...any) *Error {
	return exception(http.StatusInternalServerError, "builtins.TypeError", format, args...)
}

func missingError(model string, id int64, uid int) *Error {
	return exception(http.StatusNotFound, "odoo.exceptions.MissingError",
		"Record does not exist or has been deleted.\n(Record: %s(%d,), User: %d)", model, id, uid)
}

// repr writes a JSON value as Python would.
func repr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		return "'" + strings.ReplaceAll(v, "'", `\'`) + "'"
	case int64:
		return strconv.FormatInt(v, 10)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = repr(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v)
}
