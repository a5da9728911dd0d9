package weaviate

import (
	"cmp"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"pgregory.net/rapid"
)

// valueOf is what a server hands out of what was stored.
func valueOf(stored any, kind timeKind) *pb.Value {
	switch v := stored.(type) {
	case int64:
		if kind == numberTime {
			return &pb.Value{Kind: &pb.Value_NumberValue{NumberValue: float64(v)}}
		}
		return &pb.Value{Kind: &pb.Value_IntValue{IntValue: v}}
	case float64:
		return &pb.Value{Kind: &pb.Value_NumberValue{NumberValue: v}}
	}
	if kind == dateTime {
		return dateValue(stored.(string))
	}
	return textValue(stored.(string))
}

func timesOf(kind timeKind) *times {
	return &times{class: &classInfo{name: "Message", time: kind}, property: "at"}
}

func (t *times) of(v *pb.Value) (time.Time, error) {
	return t.read(readRow(rowOf(map[string]*pb.Value{"at": v})))
}

func anyTime(t *rapid.T, label string) time.Time {
	seconds := rapid.Int64Range(time.Date(1973, 4, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(lastYear, 1, 1, 0, 0, 0, 0, time.UTC).Unix()).Draw(t, label)
	return time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(t, label+"'s fraction")).UTC()
}

func anyForm(t *rapid.T) *textForm {
	return &textForm{
		separator: rapid.SampledFrom([]string{"T", " "}).Draw(t, "separator"),
		zone:      rapid.SampledFrom([]string{"", "Z", "+00:00", "+05:30", "-08:00", "-0330", "+14"}).Draw(t, "zone"),
		digits:    rapid.SampledFrom([]int{0, 3, 6, 9}).Draw(t, "digits"),
	}
}

func TestATimeIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]timeKind{dateTime, intTime, numberTime, textTime}).Draw(t, "kind")
		at, w := anyTime(t, "at"), written{}
		exact := map[timeKind]time.Duration{dateTime: 1, intTime: time.Millisecond, numberTime: time.Millisecond, textTime: time.Microsecond}[kind]
		switch {
		case kind == textTime && rapid.Bool().Draw(t, "told"):
			w.form = anyForm(t)
			exact = map[int]time.Duration{0: time.Second, 3: time.Millisecond, 6: time.Microsecond, 9: 1}[w.form.digits]
			if w.form.digits == 0 && w.form.zone != "Z" {
				exact = time.Microsecond
			}
		case kind == intTime && rapid.Bool().Draw(t, "told"):
			w.unit, exact = time.Second, time.Second
		case kind == numberTime && rapid.Bool().Draw(t, "told"):
			w.unit, exact = time.Second, time.Microsecond
		}
		stored, read := kind.write(at, w)
		// A float64 of seconds holds microseconds until the year 2242, and two of them afterwards.
		if off := read.Sub(at.Truncate(exact)).Abs(); off != 0 && (exact != time.Microsecond || kind != numberTime || at.Year() < 2242 || off > time.Microsecond) {
			t.Fatalf("%v is to be read as %v, want %v", at, read, at.Truncate(exact))
		}
		reader := timesOf(kind)
		reader.written = w
		if got, err := reader.of(valueOf(stored, kind)); err != nil || !got.Equal(read) {
			t.Fatalf("%v is read as %v, want %v: %v", stored, got, read, err)
		}
	})
}

func TestTextsOfOneFormAreInTheOrderOfTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		form := anyForm(t)
		write := func(label string) (string, time.Time) {
			at := anyTime(t, label).Truncate(time.Second).Add(time.Duration(rapid.IntRange(0, 3).Draw(t, label+"'s fraction")) * 250 * time.Millisecond)
			text := form.write(at)
			if at.Nanosecond() == 0 && form.digits > 0 && rapid.Bool().Draw(t, label+" without a fraction") {
				text = strings.Replace(text, "."+strings.Repeat("0", form.digits), "", 1)
			}
			return text, at
		}
		one, _ := write("one")
		two, _ := write("two")
		reader := timesOf(textTime)
		at1, err := reader.of(textValue(one))
		if err != nil {
			t.Fatalf("%s: %v", one, err)
		}
		at2, err := reader.of(textValue(two))
		if err != nil { // refused, which is right if they may be out of order
			return
		}
		if by := strings.Compare(one, two); by != 0 && !at1.Equal(at2) && by != at1.Compare(at2) {
			t.Fatalf("%s and %s are not in the order of %v and %v", one, two, at1, at2)
		}
	})
}

func TestTimesOfOnePage(t *testing.T) {
	text := func(texts ...string) (values []*pb.Value) {
		for _, s := range texts {
			values = append(values, textValue(s))
		}
		return values
	}
	numbers := func(list ...float64) (values []*pb.Value) {
		for _, n := range list {
			values = append(values, &pb.Value{Kind: &pb.Value_NumberValue{NumberValue: n}})
		}
		return values
	}
	for name, c := range map[string]struct {
		kind   timeKind
		values []*pb.Value
		last   string // as read; empty: refused
	}{
		"a fraction that Z leaves out":       {textTime, text("2024-02-29T12:00:00.5Z", "2024-02-29T12:00:00Z"), ""},
		"a fraction that isoformat left out": {textTime, text("2024-02-29T12:00:00.500000+00:00", "2024-02-29T12:00:00+00:00"), "2024-02-29T12:00:00Z"},
		"fractions after none":               {textTime, text("2024-02-29T12:00:00", "2024-02-29T12:00:00.5"), "2024-02-29T12:00:00.5Z"},
		"fractions of several lengths":       {textTime, text("2024-02-29T12:00:00", "2024-02-29T12:00:00.5", "2024-02-29T12:00:00.25"), ""},
		"zones":                              {textTime, text("2024-02-29T12:00:00+01:00", "2024-02-29T12:00:00+02:00"), ""},
		"a zone and none":                    {textTime, text("2024-02-29T12:00:00", "2024-02-29T12:00:00Z"), ""},
		"separators":                         {textTime, text("2024-02-29T12:00:00", "2024-02-29 12:00:00"), ""},
		"a zone of hours":                    {textTime, text("2024-02-29 12:00:00.25+02"), "2024-02-29T10:00:00.25Z"},
		"a zone without a colon":             {textTime, text("2024-02-29T12:00:00-0330"), "2024-02-29T15:30:00Z"},
		"a day that is not there":            {textTime, text("2023-02-29T12:00:00Z"), ""},
		"no time of day":                     {textTime, text("2024-02-29"), ""},
		"a point without a fraction":         {textTime, text("2024-02-29T12:00:00.Z"), ""},
		"a fraction of ten digits":           {textTime, text("2024-02-29T12:00:00.0123456789Z"), ""},
		"a point in the hour":                {textTime, text("2024-02-29T1.:00:00Z"), ""},
		"nothing, which is the oldest":       {textTime, []*pb.Value{nil}, "1970-01-01T00:00:00Z"},
		"a year too early":                   {textTime, text("0001-01-01T00:00:00Z"), ""},
		"seconds":                            {numberTime, numbers(1709208000.25), "2024-02-29T12:00:00.25Z"},
		"seconds before 1970":                {numberTime, numbers(-0.5), "1969-12-31T23:59:59.5Z"},
		"milliseconds":                       {numberTime, numbers(1709208000250), "2024-02-29T12:00:00.25Z"},
		"nothing since 1970":                 {numberTime, numbers(1709208000250, 0), "1970-01-01T00:00:00Z"},
		"seconds and milliseconds":           {numberTime, numbers(1709208000, 1709208000250), ""},
		"microseconds":                       {numberTime, numbers(1709208000250000), ""},
		"not a number":                       {numberTime, numbers(math.NaN()), ""},
		"infinity":                           {numberTime, numbers(math.Inf(1)), ""},
		"the first year":                     {textTime, text("1678-01-01T00:00:00Z"), "1678-01-01T00:00:00Z"},
		"the last year":                      {textTime, text("2261-12-31T23:59:59Z"), "2261-12-31T23:59:59Z"},
		"the year before":                    {textTime, text("1677-12-31T23:59:59Z"), ""},
		"the year after":                     {textTime, text("2262-01-01T00:00:00Z"), ""},
		"another separator":                  {textTime, text("2024-02-29_12:00:00Z"), ""},
		"hours of a zone of hours":           {textTime, text("2024-02-29T12:00:00+14"), "2024-02-28T22:00:00Z"},
		"parts of a millisecond":             {numberTime, numbers(1709208000250.4567), "2024-02-29T12:00:00.250457Z"},
		"parts of a microsecond":             {numberTime, numbers(1709208000.2567897), "2024-02-29T12:00:00.25679Z"},
		"a text of an older server":          {textTime, []*pb.Value{{Kind: &pb.Value_StringValue{StringValue: "2024-02-29T12:00:00Z"}}}, "2024-02-29T12:00:00Z"},
		"no text of an older server":         {textTime, []*pb.Value{{Kind: &pb.Value_StringValue{StringValue: "x"}}}, ""},
		"a boolean":                          {numberTime, []*pb.Value{{Kind: &pb.Value_BoolValue{BoolValue: true}}}, ""},
	} {
		reader := timesOf(c.kind)
		var at time.Time
		var err error
		for _, v := range c.values {
			if at, err = reader.of(v); err != nil {
				break
			}
		}
		if c.last == "" {
			if e, ok := errors.AsType[*Error](err); !ok || e.Kind != WrongClass || !strings.Contains(e.Message, `"at"`) {
				t.Errorf("%s: read as %v, %v", name, at, err)
			}
			continue
		}
		if got := at.Format(time.RFC3339Nano); err != nil || got != c.last {
			t.Errorf("%s: read as %s, want %s: %v", name, got, c.last, err)
		}
	}
}

func TestWhatIsWrongWithATimeIsSaid(t *testing.T) {
	for want, v := range map[string]*pb.Value{
		"is a boolean, not a time": {Kind: &pb.Value_BoolValue{BoolValue: true}},
		`holds "soon", which is no time as in ISO 8601 (such as 2006-01-02T15:04:05.000Z)`:                       textValue("soon"),
		`holds "2024-02-30T12:00:00Z", which is no time as in ISO 8601 (such as 2006-01-02T15:04:05.000Z)`:       textValue("2024-02-30T12:00:00Z"),
		`holds "2024-02-29T2:00:00,6+00:00", which is no time as in ISO 8601 (such as 2006-01-02T15:04:05.000Z)`: textValue("2024-02-29T2:00:00,6+00:00"),
		`holds "2024-02-29T12:00:00,6Z", which is no time as in ISO 8601 (such as 2006-01-02T15:04:05.000Z)`:     textValue("2024-02-29T12:00:00,6Z"),
		"holds a time in the year 9999": dateValue("9999-01-01T00:00:00Z"),
	} {
		_, err := timesOf(textTime).of(v)
		if e, ok := errors.AsType[*Error](err); !ok || e.Message != `class Message: property "at" `+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestTheTimeOfStoringIsReadInUTC(t *testing.T) {
	r := row{created: 1790000000123}
	at, err := timesOf(creationTime).read(r)
	if want := time.UnixMilli(1790000000123).UTC(); err != nil || at != want {
		t.Errorf("got %v, %v", at, err)
	}
}

// Times go into the cache and into replies: all of them are in UTC.
func TestEveryTimeIsInUTC(t *testing.T) {
	east := time.FixedZone("", 7200)
	for kind, w := range map[timeKind]written{
		dateTime: {}, intTime: {}, numberTime: {unit: time.Second}, textTime: {form: &textForm{separator: " ", zone: "+02:00", digits: 3}},
	} {
		at := time.Date(2026, 1, 1, 12, 0, 0, 250_000_000, east)
		stored, read := kind.write(at, w)
		if kind == numberTime || kind == textTime {
			if read.Location() != time.UTC {
				t.Errorf("kind %v: to be read as %v", kind, read)
			}
		}
		if got, err := timesOf(kind).of(valueOf(stored, kind)); err != nil || got.Location() != time.UTC || !got.Equal(at) {
			t.Errorf("kind %v: %v is read as %v, %v", kind, stored, got, err)
		}
	}
	if stored, _ := dateTime.write(time.Date(2026, 1, 1, 12, 0, 0, 0, east), written{}); stored != "2026-01-01T10:00:00Z" {
		t.Errorf("a date is stored as %v", stored)
	}
}

func TestTextsOfAFormWithoutAFraction(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 250_000_000, time.UTC)
	for zone, want := range map[string]string{
		"Z": "2026-01-01T12:00:00Z", "": "2026-01-01T12:00:00.250000", "+02": "2026-01-01T14:00:00.250000+02", "-0330": "2026-01-01T08:30:00.250000-0330",
	} {
		if got := (&textForm{separator: "T", zone: zone}).write(at); got != want {
			t.Errorf("in zone %q it is written as %s, want %s", zone, got, want)
		}
	}
}

func TestATimeThatWouldBeReadAsAnotherIsRefused(t *testing.T) {
	for _, c := range []struct {
		kind  timeKind
		unit  time.Duration
		at    string
		holds bool
	}{
		{intTime, 0, "1970-01-02T00:00:00Z", false},
		{intTime, time.Millisecond, "1973-03-03T09:46:39.999Z", false},
		{intTime, time.Millisecond, "1973-03-03T09:46:40Z", true},
		{numberTime, time.Millisecond, "1966-11-01T00:00:00Z", false},
		{intTime, time.Millisecond, "1966-10-31T14:13:20Z", true},
		{intTime, time.Millisecond, "1966-10-31T14:13:20.001Z", false},
		{numberTime, time.Millisecond, "1966-10-31T00:00:00Z", true},
		{intTime, time.Millisecond, "1970-01-01T00:00:00Z", true},
		{intTime, time.Second, "1970-01-02T00:00:00Z", true},
		{dateTime, 0, "1970-01-02T00:00:00Z", true},
		{textTime, 0, "1970-01-02T00:00:00Z", true},
	} {
		at, err := time.Parse(time.RFC3339Nano, c.at)
		if err != nil {
			t.Fatal(err)
		}
		w := written{unit: c.unit}
		if err := c.kind.holds(at, w); (err == "") != c.holds {
			t.Errorf("kind %v in %v, %s: %v", c.kind, c.unit, c.at, err)
		}
		stored, same := c.kind.write(at, w)
		reader := timesOf(c.kind)
		reader.unit = c.unit
		if read, err := reader.of(valueOf(stored, c.kind)); c.holds && (err != nil || !read.Equal(same)) {
			t.Errorf("kind %v in %v, %s: read as %v, %v", c.kind, c.unit, c.at, read, err)
		}
	}
}

func FuzzTextTimes(f *testing.F) {
	for _, s := range []string{"2024-02-29T12:00:00.123456+00:00", "2024-02-29 12:00:00", "2024-02-29T12:00:00Z", "2024-02-29T12:00:00.5-0330", "9999-12-31T23:59:59+14", "2024-02-29T2:00:00,6+00:00", "2024-02-29T12:00:00,6Z", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		form, at, err := parseForm(s)
		if err != nil {
			return
		}
		text := form.write(at)
		again, same, err := parseForm(text)
		if err != nil || !same.Equal(at) || again.separator != form.separator || again.zone != form.zone || again.digits != cmp.Or(form.digits, again.digits) {
			t.Errorf("%q is %v, written as %q, which is %v: %v", s, at, text, same, err)
		}
	})
}
