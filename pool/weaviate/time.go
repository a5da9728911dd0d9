package weaviate

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// timeKind is how a class holds the time of a message.
type timeKind int

const (
	dateTime     timeKind = iota // a date
	intTime                      // an int: seconds or milliseconds since 1970
	numberTime                   // a number: the same, with a fraction
	textTime                     // a text in ISO 8601
	creationTime                 // the time at which the server first stored the object
)

// Times that Hearth can serve: JSON's years have four digits, and Weaviate counts nanoseconds in 64 bits.
const firstYear, lastYear = 1678, 2261

// times reads the times of rows that the server has sorted. The server sorts numbers as numbers and texts as texts. That is the
// order of time only if all rows write their times in the same way.
type times struct {
	class    *classInfo
	property string
	written  // by the rows so far
}

// written is how rows write their time. It is empty as long as no row with a time was seen.
type written struct {
	unit time.Duration // of epochs
	form *textForm     // of texts
}

// read returns the time of a row. One without a time is the oldest.
func (t *times) read(r row) (time.Time, error) {
	if t.class.time == creationTime {
		return time.UnixMilli(r.created).UTC(), nil
	}
	var at time.Time
	var err error
	switch v := r.value(t.property); v.kind {
	case noKind, nullKind:
		return time.Unix(0, 0).UTC(), nil
	case dateKind:
		at, err = time.Parse(time.RFC3339Nano, v.text)
	case intKind:
		at, err = t.epoch(float64(v.integer), time.UnixMilli(v.integer))
	case numberKind:
		at, err = t.epoch(v.number, time.UnixMicro(int64(math.Round(v.number*1e3))))
	case textKind, stringKind:
		at, err = t.text(v.text)
	default:
		err = fmt.Errorf("is %s, not a time", r.kind(t.property))
	}
	at = at.UTC()
	if err == nil && (at.Year() < firstYear || at.Year() > lastYear) {
		err = fmt.Errorf("holds a time in the year %d", at.Year())
	}
	if err != nil {
		return time.Time{}, wrongClass("class %s: property %q %v", t.class.name, t.property, err)
	}
	return at, nil
}

// mostSeconds is the size up to which an epoch counts seconds: the year 5138. As milliseconds it is in March 1973.
const mostSeconds = 1e11

var errMixedUnits = errors.New("mixes seconds and milliseconds")

func (t *times) epoch(v float64, asMillis time.Time) (time.Time, error) {
	unit, at := time.Millisecond, asMillis
	if math.Abs(v) < mostSeconds {
		unit, at = time.Second, secondsAt(v)
	}
	if v == 0 { // the same in both
		return at, nil
	}
	if t.unit != 0 && t.unit != unit {
		return at, errMixedUnits
	}
	t.unit = unit
	return at, nil
}

// secondsAt is the time of an epoch in seconds, to the microsecond.
func secondsAt(v float64) time.Time { return time.UnixMicro(int64(math.Round(v * 1e6))).UTC() }

func (t *times) text(s string) (time.Time, error) {
	form, at, err := parseForm(s)
	if err != nil {
		return at, err
	}
	if t.form == nil {
		form.separator, form.zone = strings.Clone(form.separator), strings.Clone(form.zone) // the form outlives the answer
		t.form = &form
	} else if !t.form.join(form) {
		return at, fmt.Errorf("mixes ways to write a time (%s and others): their order is not that of time (%s in place of the property goes by the time of storing)", s, CreationTime)
	}
	return at, nil
}

// textForm is one way to write a time as a text: texts of one form are in the order of time.
type textForm struct {
	separator string // between date and time
	zone      string // as it stands; empty: UTC
	digits    int    // of the fraction of a second; some rows may leave it out, as Python's isoformat does at 0 µs
}

// parseForm reads 2006-01-02T15:04:05, a fraction of up to nine digits if there is one, and a zone if there is one.
func parseForm(s string) (form textForm, at time.Time, err error) {
	const seconds = len("2006-01-02T15:04:05")
	if len(s) < seconds || s[10] != 'T' && s[10] != ' ' || s[13] != ':' { // time.Parse takes an hour of one digit too
		return form, at, notATime(s)
	}
	form.separator, form.zone = s[10:11], s[seconds:]
	if fraction, ok := strings.CutPrefix(form.zone, "."); ok {
		form.zone = strings.TrimLeft(fraction, "0123456789")
		form.digits = len(fraction) - len(form.zone)
		if form.digits == 0 || form.digits > 9 {
			return form, at, notATime(s)
		}
	}
	zone := form.zone
	switch {
	case zone == "":
		zone = "Z"
	case !strings.ContainsAny(zone[:1], "Z+-"): // time.Parse takes a comma too
		return form, at, notATime(s)
	case len(zone) == len("+01"):
		zone += ":00"
	case len(zone) == len("+0100"):
		zone = zone[:3] + ":" + zone[3:]
	}
	at, err = time.Parse(time.RFC3339Nano, s[:10]+"T"+strings.TrimSuffix(s[11:], form.zone)+zone)
	if err != nil {
		err = notATime(s)
	}
	return form, at, err
}

func notATime(s string) error {
	return fmt.Errorf("holds %s, which is no time as in ISO 8601 (such as 2006-01-02T15:04:05.000Z)", strconv.Quote(shorten(s)))
}

// join adds another row's form to f, and says whether both are the same form. A text may lack the fraction only if it sorts before
// a text with a fraction. It does if the text ends there or a zone's sign follows, because these sort before the point; a Z does
// not.
func (f *textForm) join(o textForm) bool {
	if f.separator != o.separator || f.zone != o.zone {
		return false
	}
	if f.digits != o.digits && (f.digits != 0 && o.digits != 0 || f.zone == "Z") {
		return false
	}
	f.digits = max(f.digits, o.digits)
	return true
}

// TimeError is the time of a message that the class cannot hold.
type TimeError struct {
	Index  int // of the message in its write
	Detail string
}

func (e *TimeError) Error() string {
	return fmt.Sprintf("weaviate: created_at of message %d %s", e.Index, e.Detail)
}

// holds says why a class cannot hold a time; empty: it can. For example, an epoch in milliseconds of a time near 1970 would be read
// as an epoch in seconds.
func (k timeKind) holds(t time.Time, w written) (fault string) {
	if millis := t.UnixMilli(); (k == intTime || k == numberTime) && w.unit != time.Second && millis != 0 && millis > -mostSeconds && millis < mostSeconds {
		return "must not be from 1966-11-01 to 1973-03-03: the class holds milliseconds since 1970, which are taken for seconds there"
	}
	return ""
}

// write returns t in the form in which the rows of a class write times, and t as a read will return it: with the precision of that
// form. w is the form; if it is not known, an epoch is in milliseconds and a text is in Hearth's own form.
func (k timeKind) write(t time.Time, w written) (stored any, read time.Time) {
	switch k {
	case intTime, numberTime:
		if w.unit != time.Second {
			t = t.Truncate(time.Millisecond)
			return t.UnixMilli(), t
		}
		if k == intTime {
			t = t.Truncate(time.Second)
			return t.Unix(), t
		}
		seconds := float64(t.UnixMicro()) / 1e6 // far from 1970 it holds less than microseconds
		return seconds, secondsAt(seconds)
	case textTime:
		text := w.form.write(t)
		_, t, _ = parseForm(text) // what was just written is a time
		return text, t.UTC()
	case dateTime, creationTime:
	}
	return t.UTC().Format(time.RFC3339Nano), t
}

// write writes a time in the form, or as Hearth does if it is nil.
func (f *textForm) write(t time.Time) string {
	separator, zone, digits := "T", "Z", 6
	if f != nil {
		separator, zone, digits = f.separator, f.zone, f.digits
		if digits == 0 && zone != "Z" { // isoformat at 0 µs: the next row has a fraction
			digits = 6
		}
	}
	layout := "2006-01-02" + separator + "15:04:05"
	if digits > 0 {
		layout += "." + strings.Repeat("0", digits)
	}
	return t.In(location(zone)).Format(layout) + zone
}

func location(zone string) *time.Location {
	digits := strings.ReplaceAll(zone, ":", "")
	switch len(digits) {
	case len("+01"):
		digits += "00"
	case len("+0100"):
	default:
		return time.UTC
	}
	hours, _ := strconv.Atoi(digits[1:3])
	minutes, _ := strconv.Atoi(digits[3:])
	seconds := hours*3600 + minutes*60
	if digits[0] == '-' {
		seconds = -seconds
	}
	return time.FixedZone("", seconds)
}
