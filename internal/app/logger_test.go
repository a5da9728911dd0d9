package app

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"hearth/internal/testing/insights"
)

// Lambda filters lines by level. So a line needs a level in Lambda's words, and a timestamp: without one Lambda drops even warnings at WARN.
func TestLambdaFiltersTheLogByLevel(t *testing.T) {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	write := func(least slog.Level) string {
		var out strings.Builder
		for _, level := range levels {
			newLogger(&out, least).Log(t.Context(), level, "x")
		}
		return out.String()
	}
	for i, level := range levels {
		all := write(slog.LevelDebug)
		if rows := insights.ReadFrom(all, level.String()); len(rows) != len(levels)-i {
			t.Errorf("at Lambda's level %v %d lines arrive:\n%s", level, len(rows), all)
		}
		if n := strings.Count(write(level), "\n"); n != len(levels)-i {
			t.Errorf("at %v there are %d lines", level, n)
		}
	}
}

func TestAReasonCannotBreakALine(t *testing.T) {
	var out strings.Builder
	before := time.Now().Add(-time.Millisecond)
	newLogger(&out, slog.LevelInfo).Warn("warm-up failed", "error", errors.Join(errors.New("100%s %!d(MISSING)\r\n{\"level\":\"INFO\"}"), errors.New("\xff\x00\u2028\"")))
	rows := insights.ReadFrom(out.String(), "WARN")
	if len(rows) != 1 || rows[0]["error"] != "100%s %!d(MISSING)\r\n{\"level\":\"INFO\"}\n\ufffd\x00\u2028\"" || rows[0]["extension"] != "hearth" || rows[0]["time"] != nil {
		t.Fatalf("%v\n%s", rows, out.String())
	}
	at, err := time.Parse("2006-01-02T15:04:05.000Z", rows[0].Text("timestamp"))
	if err != nil || at.Before(before) || at.After(time.Now()) {
		t.Errorf("the timestamp is %v (%v)", rows[0]["timestamp"], err)
	}
}
