package sidecar

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"hearth/client/wire"
)

// object reads the fields of a JSON object one by one. It keeps the first fault, which names its field. Reads after a fault
// return zero values.
type object struct {
	prefix string // of field names: "[2]." in an array
	fields []member
	fault  *wire.Problem
}

// member is a field of the body.
type member struct {
	name, value string // the value is in JSON
	asked       bool
}

// object begins to read the request's body.
func (r *request) object() *object {
	o := decodeObject(r.body.Bytes(), "", r.members)
	r.members = o.fields
	return o
}

// badBody is the problem of a body of which no field can be named.
func badBody(detail string) *wire.Problem {
	p := wire.NewProblem(wire.KindBadBody, detail)
	p.Field = "body"
	return p
}

// jsonSpace is what JSON allows around a value.
const jsonSpace = " \t\r\n"

// decodeObject begins to read a body, or one element of an array, whose fields are then named with a prefix. The fields are read
// from a copy of the body. They are appended to memory, which is empty.
func decodeObject(body []byte, prefix string, memory []member) *object {
	o := &object{prefix: prefix}
	switch b := bytes.Trim(body, jsonSpace); {
	case len(b) == 0:
		o.fault = badBody("a JSON object is wanted")
	case b[0] != '{' && prefix != "":
		o.fault = wire.BadField(prefix[:len(prefix)-1], "must be an object")
	case b[0] != '{':
		o.fault = badBody("a JSON object is wanted")
	case !json.Valid(b): // gjson takes anything for JSON
		o.fault = badBody(fmt.Sprintf("not JSON: %v", json.Unmarshal(b, new(map[string]json.RawMessage))))
	default:
		o.fields = memory
		gjson.ParseBytes(b).ForEach(func(name, value gjson.Result) bool {
			o.fields = append(o.fields, member{name: name.Str, value: value.Raw})
			return true
		})
	}
	return o
}

func (o *object) wrong(name, what string) {
	if o.fault == nil {
		o.fault = wire.BadField(o.prefix+name, what)
	}
}

// value returns a field's value in JSON, and says whether the field is there. A null counts as absent. Of a name given more than
// once the last value counts.
func (o *object) value(name string) (value string, ok bool) {
	if value, ok = o.raw(name); !ok {
		return "", false
	}
	if !utf8.ValidString(value) || loneSurrogate(value) {
		o.wrong(name, "must be UTF-8")
		return "", false
	}
	return value, true
}

// raw is value for a field whose own fields are read later: it does not look at the text.
func (o *object) raw(name string) (value string, ok bool) {
	for i, f := range o.fields {
		if f.name == name {
			o.fields[i].asked = true
			value, ok = f.value, f.value != "null"
		}
	}
	if !ok || o.fault != nil {
		return "", false
	}
	return value, true
}

// has says whether a field is there. A null counts as absent.
func (o *object) has(name string) bool {
	_, ok := o.value(name)
	return ok
}

// field decodes a field into v, and says whether the field was there.
func (o *object) field(name string, v any, what string) bool {
	value, ok := o.value(name)
	if !ok {
		return false
	}
	if err := json.Unmarshal([]byte(value), v); err != nil {
		o.wrong(name, "must be "+what)
		return false
	}
	return true
}

// stringOf reads a string, and says whether the field was there. It returns a copy: a part of the body would keep the whole body in
// memory for as long as the cache holds the string.
func (o *object) stringOf(name string) (s string, ok bool) {
	value, ok := o.value(name)
	if !ok {
		return "", false
	}
	if value[0] != '"' {
		o.wrong(name, "must be a string")
		return "", false
	}
	return strings.Clone(gjson.Parse(value).Str), true
}

func (o *object) requiredText(name string) string {
	s, ok := o.stringOf(name)
	if !ok {
		o.wrong(name, "is required")
	}
	return s
}

func (o *object) text(name, byDefault string, least, most int) string {
	s, ok := o.stringOf(name)
	if !ok {
		return byDefault
	}
	if len(s) < least || len(s) > most {
		o.wrong(name, fmt.Sprintf("must have %d to %d bytes", least, most))
	}
	return s
}

func (o *object) number(name string, byDefault, least, most int) int {
	value, ok := o.value(name)
	if !ok {
		return byDefault
	}
	n, err := strconv.Atoi(value)
	switch {
	case err != nil:
		o.wrong(name, "must be a whole number")
	case n < least || n > most:
		o.wrong(name, fmt.Sprintf("must be %d to %d", least, most))
	}
	return n
}

// timeout reads timeout_ms; 0: the field is not there.
func (o *object) timeout() time.Duration {
	if !o.has("timeout_ms") {
		return 0
	}
	return time.Duration(o.number("timeout_ms", 0, 1, int(wire.MaxTimeout.Milliseconds()))) * time.Millisecond
}

func (o *object) flag(name string) bool {
	value, ok := o.value(name)
	if ok && value != "true" && value != "false" {
		o.wrong(name, "must be true or false")
	}
	return value == "true"
}

func (o *object) oneOf(name, byDefault string, options ...string) string {
	s, ok := o.stringOf(name)
	if !ok {
		return byDefault
	}
	if !slices.Contains(options, s) {
		o.wrong(name, fmt.Sprintf("must be one of %v", options))
	}
	return s
}

func (o *object) vector(name string) []float32 {
	if !o.has(name) {
		return nil
	}
	var v []float32
	if o.list(name, &v, "an array of numbers") && (len(v) == 0 || len(v) > maxVector) {
		o.wrong(name, fmt.Sprintf("must have 1 to %d numbers", maxVector))
	}
	return v
}

// list decodes an array, and refuses one that holds a null: encoding/json would leave the element as it was, a zero or a
// default. It is for arrays of numbers and of known words, in which null can be nothing else.
func (o *object) list(name string, v any, what string) bool {
	value, _ := o.value(name)
	ok := o.field(name, v, what)
	if ok && strings.Contains(value, "null") {
		o.wrong(name, "must be "+what+" without null")
		return false
	}
	return ok
}

// texts reads an object of strings. A null among them is refused: encoding/json would make it an empty string.
func (o *object) texts(name string) map[string]string {
	const what = "an object of strings"
	var values map[string]*string
	if !o.field(name, &values, what) {
		return nil
	}
	texts := make(map[string]string, len(values))
	for key, value := range values {
		if value == nil {
			o.wrong(name, fmt.Sprintf("must be %s: that of %s is null", what, shortened([]byte(key))))
			return nil
		}
		texts[key] = *value
	}
	return texts
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
	for _, f := range o.fields {
		if !f.asked {
			o.wrong(cmp.Or(f.name, `""`), "is not a field of this call") // a field may have no name
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
func loneSurrogate(raw string) bool {
	unit := func(i int) rune { // of the escape at i, or -1
		if i+6 > len(raw) || raw[i] != '\\' || raw[i+1] != 'u' {
			return -1
		}
		v, err := strconv.ParseUint(raw[i+2:i+6], 16, 16)
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
