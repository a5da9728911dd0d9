package main

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPercentile(t *testing.T) {
	samples := []float64{5, 1, 4, 2, 3}
	for p, want := range map[float64]float64{0: 1, 0.2: 1, 0.5: 3, 0.6: 3, 0.95: 5, 1: 5} {
		if got := percentile(samples, p); got != want {
			t.Errorf("p%v: %v, want %v", 100*p, got, want)
		}
	}
	if samples[0] != 5 {
		t.Error("the samples were sorted in place")
	}
	if got := median([]float64{1, 2}); got != 1 {
		t.Errorf("median of two: %v", got)
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of none: %v", got)
	}
}

func TestVerdict(t *testing.T) {
	for _, tc := range []struct {
		name       string
		a, b, d, f float64
		missed     int
	}{
		{"kept", 1000, 300, 90, 10, 0},
		{"held too slow", 1000, 300, 90, 11, 1},
		{"cold too slow for b", 1000, 300, 91, 1, 1},
		{"all too slow", 1000, 900, 400, 400, 3},
		{"nothing measured", math.NaN(), 1, 1, 1, 3},
	} {
		d := &demo{}
		d.a, d.b, d.c, d.d, d.e, d.f = variants()
		d.a.ms, d.b.ms, d.d.ms, d.f.ms = []float64{tc.a}, []float64{tc.b}, []float64{tc.d}, []float64{tc.f}
		var out strings.Builder
		err := d.verdict(&out)
		if n := strings.Count(out.String(), "MISSED"); n != tc.missed || errors.Is(err, errPromise) != (tc.missed > 0) {
			t.Errorf("%s: %v\n%s", tc.name, err, out.String())
		}
	}
}

// Both ways must be read alike, or comparing them says nothing.
func TestBothWaysAreReadAlike(t *testing.T) {
	row := func(id, role, at string) map[string]any {
		return map[string]any{"role": role, "content": "of " + id, "created_at": at, "_additional": map[string]any{"id": id}}
	}
	rows := func(class string, list ...any) map[string]any {
		return map[string]any{"data": map[string]any{"Get": map[string]any{class: list}}}
	}
	const early, late = "2026-03-01T12:00:00.12Z", "2026-03-01T12:00:00.120001Z"
	replies := map[string]any{
		"history_user":      rows("Message", row("3", "user", late), row("1", "user", early)),
		"history_assistant": rows("Message", row("2", "assistant", early)),
		"mute":              rows("ChatStatus", map[string]any{"muted": true}),
		"relevant":          rows("Message", row("2", "assistant", early)),
		"model_name":        []any{map[string]any{"display_name": "Contact"}},
		"model_fields":      map[string]any{"name": map[string]any{}, "email": map[string]any{}},
	}
	direct, err := ofUpstreams(replies)
	if err != nil {
		t.Fatal(err)
	}
	message := func(id, role string) client.Message {
		return client.Message{ID: id, Role: role, Content: "of " + id, CreatedAt: time.Now()}
	}
	through := ofHearth(&client.Preprocess{
		MuteStatus:       &client.MuteStatus{Muted: true},
		RelevantMessages: []client.ScoredMessage{{Message: message("2", "assistant")}},
		OdooModels:       map[string]client.Model{"res.partner": {Name: "Contact", Fields: map[string]json.RawMessage{"email": nil, "name": nil}}},
		History:          &client.History{AllMessages: []client.Message{message("1", "user"), message("2", "assistant"), message("3", "user")}},
	})
	if !reflect.DeepEqual(direct, through) {
		t.Errorf("%+v\n%+v", direct, through)
	}

	replies["mute"] = map[string]any{"errors": []any{map[string]any{"message": "no such class"}}}
	if _, err := ofUpstreams(replies); err == nil || !strings.Contains(err.Error(), "no such class") {
		t.Errorf("%v", err)
	}
}
