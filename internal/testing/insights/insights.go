// Package insights reads the log of a function as CloudWatch Logs Insights does, and answers the queries of the documentation: averages by
// operation, slow operations, averages of five minutes.
//
// Start with [Read]. It knows what these queries need, and not the query language.
package insights

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mostFields is how many fields Insights finds in an event.
const mostFields = 200

// Format is a log format of Lambda.
type Format string

// The log formats.
const (
	Text Format = "Text"
	JSON Format = "JSON" // with the application log level INFO
)

// Row is what Insights knows of a log event: the fields of the first JSON object in it, and @message. A field within a field has the names
// of both, with a point between them.
type Row map[string]any

// Rows are the events of a log.
type Rows []Row

// Read splits a log into events, one for each line, as Lambda does with what a process prints.
func Read(log string, format Format) Rows {
	if format == JSON {
		return ReadFrom(log, "INFO")
	}
	return ReadFrom(log, levels[0])
}

// levels are Lambda's application log levels.
var levels = []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"} //nolint:gochecknoglobals // it does not change

// ReadFrom is Read under the JSON format with this application log level: lines below it do not arrive.
func ReadFrom(log, level string) (rows Rows) {
	least := slices.Index(levels, level)
	for line := range strings.Lines(log) {
		if line = strings.TrimRight(line, "\r\n"); line == "" || levelOf(line) < least {
			continue
		}
		row := Row{}
		if object, ok := firstObject(line); ok {
			row.add("", object)
		}
		row["@message"] = line
		rows = append(rows, row)
	}
	return rows
}

// levelOf is the level that Lambda takes a line for, as an index of levels. A line that is no JSON object always arrives.
func levelOf(line string) int {
	var event struct{ Level, Timestamp string }
	if json.Unmarshal([]byte(line), &event) != nil {
		return len(levels)
	}
	_, err := time.Parse(time.RFC3339, event.Timestamp)
	if i := slices.Index(levels, strings.ToUpper(event.Level)); i >= 0 && err == nil {
		return i
	}
	return slices.Index(levels, "INFO")
}

// firstObject is the first part of a line that is a JSON object.
func firstObject(line string) (object map[string]any, ok bool) {
	for rest := line; ; rest = rest[1:] {
		start := strings.IndexByte(rest, '{')
		if start < 0 {
			return nil, false
		}
		rest = rest[start:]
		if err := json.NewDecoder(strings.NewReader(rest)).Decode(&object); err == nil {
			return object, true
		}
	}
}

func (r Row) add(prefix string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, field := range v {
			r.add(joined(prefix, name), field)
		}
	case []any:
		for i, item := range v {
			r.add(joined(prefix, strconv.Itoa(i)), item)
		}
	default:
		if v != nil && len(r) < mostFields {
			r[prefix] = v
		}
	}
}

func joined(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// Text is a field as text. It is empty if there is no such field.
func (r Row) Text(field string) string {
	if v, ok := r[field]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

// Where is "filter <field> = <value>".
func (rows Rows) Where(field, value string) Rows {
	return rows.filter(func(r Row) bool { return r.Text(field) == value })
}

// Above is "filter <field> > <least>".
func (rows Rows) Above(field string, least float64) Rows {
	return rows.filter(func(r Row) bool {
		n, ok := r[field].(float64)
		return ok && n > least
	})
}

func (rows Rows) filter(keep func(Row) bool) Rows {
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return !keep(r) })
}

// Mean is the average of a field, over the rows that have it as a number.
type Mean struct {
	Count   int
	Average float64
}

// MeanBy is "stats avg(<field>) by <group>". Rows without the field or the group do not count.
func (rows Rows) MeanBy(field, group string) map[string]Mean {
	return rows.mean(field, func(r Row) (string, bool) { return r.Text(group), r[group] != nil })
}

// MeanByTime is "stats avg(<field>) by bin(<width>)". The time of a row is that of its field timestamp; in CloudWatch it is that of the
// event, which is a moment later.
func (rows Rows) MeanByTime(field string, width time.Duration) map[string]Mean {
	return rows.mean(field, func(r Row) (string, bool) {
		at, err := time.Parse(time.RFC3339, r.Text("timestamp"))
		return at.Truncate(width).Format(time.RFC3339), err == nil
	})
}

func (rows Rows) mean(field string, group func(Row) (string, bool)) map[string]Mean {
	means := map[string]Mean{}
	for _, r := range rows {
		name, in := group(r)
		n, ok := r[field].(float64)
		if !in || !ok {
			continue
		}
		m := means[name]
		m.Average = (m.Average*float64(m.Count) + n) / float64(m.Count+1)
		m.Count++
		means[name] = m
	}
	return means
}
