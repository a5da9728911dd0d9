package insights

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const log = `START RequestId: 1
[TIMING] a: 0.010s
{"level":"INFO","timestamp":"2026-01-31T12:04:59.999Z","operation":"a","duration_ms":10,"cache":{"history":"hit"},"list":[1,{"b":null}]}
[INFO]	2026-01-31T12:00:00.000Z	1	{"operation": "a", "duration_ms": 2000} {"operation": "not the first"}
{"level":"INFO","timestamp":"2026-01-31T12:05:00.000Z","message":"{\"operation\": \"escaped\", \"duration_ms\": 1}"}
{"level":"DEBUG","timestamp":"2026-01-31T12:05:00.000Z","operation":"b","duration_ms":1}
{"level":"INFO","timestamp":"2026-01-31T12:05:00+00:00","operation":"b","duration_ms":1000}
{"operation":"b","duration_ms":"text"}
half an object {"operation": {"operation":"inner","duration_ms":1001}

`

func TestFieldsAreThoseOfTheFirstObject(t *testing.T) {
	rows := Read(log, Text)
	want := Row{
		"level": "INFO", "timestamp": "2026-01-31T12:04:59.999Z", "operation": "a", "duration_ms": 10.0,
		"cache.history": "hit", "list.0": 1.0, "@message": strings.Split(log, "\n")[2],
	}
	if len(rows) != 9 || !reflect.DeepEqual(rows[2], want) {
		t.Errorf("%d rows, %v", len(rows), rows[2])
	}
	for i, want := range []string{"", "", "a", "a", "", "b", "b", "b", "inner"} {
		if got := rows[i].Text("operation"); got != want {
			t.Errorf("row %d: %q", i, got)
		}
	}
	many := ""
	for i := range 300 {
		many += fmt.Sprintf(`"f%d":1,`, i)
	}
	if row := Read("{"+many+`"z":1}`, Text)[0]; len(row) != mostFields+1 { // and @message
		t.Errorf("%d fields", len(row))
	}
}

func TestLambdaFiltersByLevelInJSON(t *testing.T) {
	if rows := Read(log, JSON); len(rows) != 8 || len(rows.Where("level", "DEBUG")) != 0 {
		t.Errorf("%v", rows)
	}
	const lines = `{"level":"WARN","timestamp":"2026-01-31T12:00:00.000Z","n":1}
{"level":"error","timestamp":"2026-01-31T12:00:00+01:00","n":2}
{"level":"WARN","time":"2026-01-31T12:00:00.000Z","n":3}
{"level":"SEVERE","timestamp":"2026-01-31T12:00:00.000Z","n":4}
{"n":5}
no object
`
	for level, want := range map[string]string{"DEBUG": "1 2 3 4 5 ", "WARN": "1 2 ", "ERROR": "2 ", "FATAL": ""} {
		got := ""
		for _, row := range ReadFrom(lines, level) {
			if row["n"] != nil {
				got += row.Text("n") + " "
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", level, got, want)
		}
	}
}

func TestQueries(t *testing.T) {
	rows := Read(log, JSON)
	if got, want := rows.MeanBy("duration_ms", "operation"), map[string]Mean{"a": {2, 1005}, "b": {1, 1000}, "inner": {1, 1001}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if got := rows.Above("duration_ms", 1000); len(got) != 2 {
		t.Errorf("%v", got)
	}
	want := map[string]Mean{"2026-01-31T12:00:00Z": {1, 10}, "2026-01-31T12:05:00Z": {1, 1000}}
	if got := rows.MeanByTime("duration_ms", 5*time.Minute); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}
