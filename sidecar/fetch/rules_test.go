package fetch

import (
	"net/http"
	"testing"
	"time"

	"hearth/client/wire"
)

func TestWhatAnAnswerSaysOfItsUse(t *testing.T) {
	began := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	const took = 2 * time.Second
	at := func(d time.Duration) string { return began.Add(took + d).Format(http.TimeFormat) }
	for _, c := range []struct {
		name                    string
		status                  int
		headers                 map[string]string
		fresh, while, ifErr, ag time.Duration
		neverStale, keep        bool
	}{
		{name: "max-age", status: 200, headers: map[string]string{"Cache-Control": "max-age=60"}, fresh: time.Minute, keep: true},
		{name: "max-age goes before Expires", status: 200, headers: map[string]string{"Cache-Control": "max-age=60", "Expires": at(time.Hour), "Date": at(0)}, fresh: time.Minute, keep: true},
		{name: "s-maxage is for shared caches", status: 200, headers: map[string]string{"Cache-Control": "s-maxage=60, max-age=5"}, fresh: 5 * time.Second, keep: true},
		{name: "private", status: 200, headers: map[string]string{"Cache-Control": "private, max-age=5"}, fresh: 5 * time.Second, keep: true},
		{name: "Expires", status: 200, headers: map[string]string{"Expires": at(time.Minute), "Date": at(0)}, fresh: time.Minute, keep: true},
		{name: "Expires by the server's clock", status: 200, headers: map[string]string{"Expires": at(time.Hour), "Date": at(50 * time.Minute)}, fresh: 10 * time.Minute, keep: true},
		{name: "Expires in the past", status: 200, headers: map[string]string{"Expires": at(-time.Minute), "Date": at(0)}},
		{name: "Expires that is no time", status: 200, headers: map[string]string{"Expires": "-1", "Etag": `"x"`}, keep: true},
		{name: "an old Date", status: 200, headers: map[string]string{"Cache-Control": "max-age=60", "Date": at(-20 * time.Second)}, fresh: time.Minute, ag: 18 * time.Second, keep: true},
		{name: "Age", status: 200, headers: map[string]string{"Cache-Control": "max-age=60", "Age": "30"}, fresh: time.Minute, ag: 30 * time.Second, keep: true},
		{name: "a huge Age", status: 200, headers: map[string]string{"Cache-Control": "max-age=60", "Age": "99999999999", "Etag": `"x"`}, fresh: time.Minute, ag: (1<<31 - 1) * time.Second, keep: true},
		{name: "an Age that is no number", status: 200, headers: map[string]string{"Cache-Control": "max-age=60", "Age": "-3"}, fresh: time.Minute, keep: true},
		{name: "a tenth of the time since it was modified", status: 200, headers: map[string]string{"Last-Modified": at(-10 * time.Hour), "Date": at(0)}, fresh: time.Hour, keep: true},
		{name: "at most a day", status: 404, headers: map[string]string{"Last-Modified": at(-1000 * time.Hour), "Date": at(0)}, fresh: 24 * time.Hour, keep: true},
		{name: "modified in the future", status: 200, headers: map[string]string{"Last-Modified": at(time.Hour), "Date": at(0)}, keep: true},
		{name: "a status that is not kept by itself", status: 302, headers: map[string]string{"Last-Modified": at(-10 * time.Hour)}},
		{name: "unless it says so", status: 302, headers: map[string]string{"Cache-Control": "max-age=60"}, fresh: time.Minute, keep: true},
		{name: "part of an answer", status: 206, headers: map[string]string{"Cache-Control": "max-age=60", "Etag": `"x"`}, fresh: time.Minute},
		{name: "no-store", status: 200, headers: map[string]string{"Cache-Control": "max-age=60, no-store"}, fresh: time.Minute},
		{name: "no-cache", status: 200, headers: map[string]string{"Cache-Control": "no-cache, max-age=60, stale-if-error=60", "Etag": `"x"`}, neverStale: true, keep: true},
		{name: "no-cache of a field", status: 200, headers: map[string]string{"Cache-Control": `no-cache="Set-Cookie", max-age=60`, "Etag": `"x"`}, neverStale: true, keep: true},
		{name: "must-revalidate", status: 200, headers: map[string]string{"Cache-Control": "must-revalidate, max-age=60, stale-while-revalidate=60"}, fresh: time.Minute, neverStale: true, keep: true},
		{name: "stale is allowed", status: 200, headers: map[string]string{"Cache-Control": "max-age=1, stale-while-revalidate=2, stale-if-error=3"}, fresh: time.Second, while: 2 * time.Second, ifErr: 3 * time.Second, keep: true},
		{name: "nothing", status: 200, headers: map[string]string{}},
		{name: "what can be confirmed", status: 200, headers: map[string]string{"Etag": `W/"x"`}, keep: true},
		{name: "unreadable", status: 200, headers: map[string]string{"Cache-Control": "max-age=x", "Etag": `"x"`}},
		{name: "Vary on everything", status: 200, headers: map[string]string{"Cache-Control": "max-age=60", "Vary": "*"}, fresh: time.Minute},
		{name: "a huge age", status: 200, headers: map[string]string{"Cache-Control": "max-age=99999999999"}, fresh: (1<<31 - 1) * time.Second, keep: true},
	} {
		p, age, keep := rulesOf(wire.Fetched{Status: c.status, Headers: c.headers}, began, took)
		if p.Fresh != c.fresh || p.WhileRevalidate != c.while || p.IfError != c.ifErr || p.NeverStale != c.neverStale || age != c.ag || keep != c.keep {
			t.Errorf("%s: %+v, age %v, kept %t", c.name, p, age, keep)
		}
	}
}

// What a server says makes no age and no time negative, and nothing is kept that says no-store.
func FuzzTheRulesOfAnAnswer(f *testing.F) {
	for _, s := range []string{
		"max-age=1", "max-age=-1", "max-age=\"5\"", "no-cache=\"a,b\"", "no-store", "stale-if-error=99999999999999999999", "private=\"", ",,", "max-age", "max-age=1, max-age=2", "=", "a=b;c",
	} {
		f.Add(s, "Thu, 01 Jan 2026 00:00:00 GMT", "5", "Wed, 21 Oct 2015 07:28:00 GMT", 200)
	}
	f.Fuzz(func(t *testing.T, control, date, age, expires string, status int) {
		headers := map[string]string{"Cache-Control": control, "Date": date, "Age": age, "Expires": expires, "Last-Modified": date}
		p, got, keep := rulesOf(wire.Fetched{Status: status, Headers: headers}, time.Unix(1_800_000_000, 0), time.Second)
		if p.Fresh < 0 || p.WhileRevalidate < 0 || p.IfError < 0 || got < 0 || keep && control == "no-store" {
			t.Errorf("%q: %+v, age %v, kept %t", headers, p, got, keep)
		}
	})
}
