// Package emf reads documents in CloudWatch's Embedded Metric Format as CloudWatch does, and says what CloudWatch would refuse. Start at [Parse].
package emf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// CloudWatch's limits.
const (
	maxMetrics    = 100
	maxValues     = 100
	maxDimensions = 30
	maxName       = 1024
	maxDimension  = 1024      // characters of a dimension's value
	maxBytes      = 256 << 10 // of one log event
	oldest        = 14 * 24 * time.Hour
	newest        = 2 * time.Hour
)

// Document is one document.
type Document struct {
	At         time.Time
	Namespace  string
	Dimensions map[string]string
	Metrics    map[string]Metric
	Properties map[string]any // the other members
}

// Metric is the values of a metric.
type Metric struct {
	Unit   string
	Values []float64
}

// Is says whether a line of a log is meant as a document.
func Is(line string) bool {
	return strings.HasPrefix(line, "{") && strings.Contains(line, `"CloudWatchMetrics"`)
}

// Parse reads a line. The error says all that is wrong with it.
func Parse(line string) (Document, error) {
	d := Document{Dimensions: map[string]string{}, Metrics: map[string]Metric{}, Properties: map[string]any{}}
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	if strings.Contains(strings.TrimSuffix(line, "\n"), "\n") || len(line) > maxBytes {
		fault("it is no line of at most %d bytes", maxBytes)
	}
	if err := json.Unmarshal([]byte(line), &d.Properties); err != nil {
		return d, err
	}
	if strings.Count(line, `"_aws"`) != 1 {
		fault("there must be one _aws")
	}
	var meta struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct {
					Name, Unit        string
					StorageResolution int `json:",omitempty"`
				}
			}
		} `json:"_aws"`
	}
	strict := json.NewDecoder(bytes.NewReader(member(line, "_aws")))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&meta.AWS); err != nil {
		return d, errors.Join(append(faults, err)...)
	}
	delete(d.Properties, "_aws")
	if d.At = time.UnixMilli(meta.AWS.Timestamp); time.Since(d.At) > oldest || time.Until(d.At) > newest {
		fault("the timestamp is %v", d.At)
	}
	if len(meta.AWS.CloudWatchMetrics) != 1 {
		return d, errors.Join(append(faults, errors.New("there must be one set of metrics"))...)
	}
	set := meta.AWS.CloudWatchMetrics[0]
	if d.Namespace = set.Namespace; d.Namespace == "" || len(d.Namespace) > 256 {
		fault("the namespace is %q", d.Namespace)
	}
	for _, names := range set.Dimensions {
		if len(names) > maxDimensions {
			fault("%d dimensions", len(names))
		}
		for _, name := range names {
			value, ok := d.Properties[name].(string)
			if !ok || value == "" || len(value) > maxDimension || !printable(value) || !printable(name) {
				fault("dimension %q has the target %v", name, d.Properties[name])
			}
			d.Dimensions[name] = value
		}
	}
	if len(set.Metrics) > maxMetrics || len(set.Metrics) == 0 {
		fault("%d metrics", len(set.Metrics))
	}
	for _, m := range set.Metrics {
		if _, twice := d.Metrics[m.Name]; twice || m.Name == "" || len(m.Name) > maxName || !printable(m.Name) {
			fault("metric %q stands twice, or has no name that can be", m.Name)
		}
		if m.Unit != "Milliseconds" && m.Unit != "Count" {
			fault("metric %q has the unit %q", m.Name, m.Unit)
		}
		if m.StorageResolution != 0 && m.StorageResolution != 1 && m.StorageResolution != 60 {
			fault("metric %q has the resolution %d", m.Name, m.StorageResolution)
		}
		values, err := numbers(d.Properties[m.Name])
		if err != nil {
			fault("metric %q: %w", m.Name, err)
		}
		d.Metrics[m.Name] = Metric{m.Unit, values}
	}
	for name := range d.Metrics {
		delete(d.Properties, name)
	}
	for name := range d.Dimensions {
		delete(d.Properties, name)
	}
	return d, errors.Join(faults...)
}

// member is the JSON of a member of an object.
func member(object, name string) json.RawMessage {
	var all map[string]json.RawMessage
	_ = json.Unmarshal([]byte(object), &all) // it was decoded before
	return all[name]
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// numbers are the values of a metric: a number, or an array of numbers.
func numbers(target any) (values []float64, err error) {
	list, isList := target.([]any)
	if !isList {
		list = []any{target}
	}
	if len(list) == 0 || len(list) > maxValues {
		return nil, fmt.Errorf("%d values", len(list))
	}
	for _, v := range list {
		n, ok := v.(float64)
		if !ok || math.Abs(n) > math.Pow(2, 360) {
			return nil, fmt.Errorf("a value is %v", v)
		}
		values = append(values, n)
	}
	return values, nil
}
