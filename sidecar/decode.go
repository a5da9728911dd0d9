package sidecar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"hearth/client/wire"
)

// object reads the fields of a JSON object one by one. It keeps the first fault, which names its field. Reads after a fault
// return zero values.
type object struct {
	prefix string // of field names: "[2]." in an array
	fields map[string]json.RawMessage
	asked  []string
	fault  *wire.Problem
}

// badBody is the problem of a body of which no field can be named.
func badBody(detail string) *wire.Problem {
	p := wire.NewProblem(wire.KindBadBody, detail)
	p.Field = "body"
	return p
}

// decodeObject begins to read a body, or one element of an array, whose fields are then named with a prefix.
func decodeObject(body []byte, prefix string) *object {
	o := &object{prefix: prefix}
	switch b := bytes.TrimSpace(body); {
	case len(b) == 0:
		o.fault = badBody("a JSON object is wanted")
	case b[0] != '{' && prefix != "":
		o.fault = wire.BadField(prefix[:len(prefix)-1], "must be an object")
	case b[0] != '{':
		o.fault = badBody("a JSON object is wanted")
	default:
		if err := json.Unmarshal(b, &o.fields); err != nil {
			o.fault = badBody(fmt.Sprintf("not JSON: %v", err))
		}
	}
	return o
}

func (o *object) wrong(name, what string) {
	if o.fault == nil {
		o.fault = wire.BadField(o.prefix+name, what)
	}
}

// field decodes a field into v, and says whether the field was there. A null counts as absent.
func (o *object) field(name string, v any, what string) bool {
	o.asked = append(o.asked, name)
	raw, ok := o.fields[name]
	if !ok || o.fault != nil || string(raw) == "null" {
		return false
	}
	if !utf8.Valid(raw) || loneSurrogate(raw) {
		o.wrong(name, "must be UTF-8")
		return false
	}
	if err := json.Unmarshal(raw, v); err != nil {
		o.wrong(name, "must be "+what)
		return false
	}
	return true
}

// has says whether a field is there. A null counts as absent.
func (o *object) has(name string) bool {
	raw, ok := o.fields[name]
	return ok && string(raw) != "null"
}

func (o *object) requiredText(name string) string {
	var s string
	if !o.field(name, &s, "a string") {
		o.wrong(name, "is required")
	}
	return s
}

func (o *object) text(name, byDefault string, least, most int) string {
	s := byDefault
	if o.field(name, &s, "a string") && (len(s) < least || len(s) > most) {
		o.wrong(name, fmt.Sprintf("must have %d to %d bytes", least, most))
	}
	return s
}

func (o *object) number(name string, byDefault, least, most int) int {
	n := byDefault
	if o.field(name, &n, "a whole number") && (n < least || n > most) {
		o.wrong(name, fmt.Sprintf("must be %d to %d", least, most))
	}
	return n
}

func (o *object) flag(name string) (v bool) {
	o.field(name, &v, "true or false")
	return v
}

func (o *object) oneOf(name, byDefault string, options ...string) string {
	s := byDefault
	if o.field(name, &s, "a string") && !slices.Contains(options, s) {
		o.wrong(name, fmt.Sprintf("must be one of %v", options))
	}
	return s
}

func (o *object) vector(name string) (v []float32) {
	if o.list(name, &v, "an array of numbers") && len(v) == 0 {
		o.wrong(name, "must not be empty")
	}
	return v
}

// list decodes an array, and refuses one that holds a null: encoding/json would leave the element as it was, a zero or a
// default. It is for arrays of numbers and of known words, in which null can be nothing else.
func (o *object) list(name string, v any, what string) bool {
	ok := o.field(name, v, what)
	if ok && bytes.Contains(o.fields[name], []byte("null")) {
		o.wrong(name, "must be "+what+" without null")
		return false
	}
	return ok
}

// instant reads a time. Weaviate counts nanoseconds in 64 bits, which end in 2262.
func (o *object) instant(name string) (t time.Time) {
	if o.field(name, &t, "a time as in RFC 3339") && (t.Year() < 1700 || t.Year() > 2250) {
		o.wrong(name, "must be between the years 1700 and 2250")
	}
	return t.UTC()
}

// rejectUnknown refuses fields that were not asked for.
func (o *object) rejectUnknown() {
	for name := range o.fields {
		if !slices.Contains(o.asked, name) {
			o.wrong(name, "is not a field of this call")
		}
	}
}

// err is the first fault. It is not o.fault itself, because a nil *Problem would be an error that is not nil.
func (o *object) err() error {
	if o.fault != nil {
		return o.fault
	}
	return nil
}

// loneSurrogate finds a \u escape that is half a character. encoding/json would replace it without an error.
func loneSurrogate(raw []byte) bool {
	unit := func(i int) rune { // of the escape at i, or -1
		if i+6 > len(raw) || raw[i] != '\\' || raw[i+1] != 'u' {
			return -1
		}
		v, err := strconv.ParseUint(string(raw[i+2:i+6]), 16, 16)
		if err != nil {
			return -1
		}
		return rune(v)
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if first := unit(i); utf16.IsSurrogate(first) {
			if utf16.DecodeRune(first, unit(i+6)) == utf8.RuneError {
				return true
			}
			i += 6
		}
		i++ // the escaped character
	}
	return false
}

// queryNumber reads a number of the query.
func (r *request) queryNumber(name string, byDefault, least, most int) (int, error) {
	if !r.has(name) {
		return byDefault, nil
	}
	n, err := strconv.Atoi(string(r.parameter(name)))
	if err != nil || n < least || n > most {
		return 0, wire.BadField(name, fmt.Sprintf("must be a whole number from %d to %d", least, most))
	}
	return n, nil
}
