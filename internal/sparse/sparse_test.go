package sparse

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tester is a log in a bubble, whose lines have no time.
type tester struct {
	*testing.T
	*Log

	mu  sync.Mutex // guards out: the race detector does not know that nothing is logged while the test looks
	out bytes.Buffer
}

func (l *tester) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(line)
}

func bubble(t *testing.T, run func(*tester)) {
	synctest.Test(t, func(t *testing.T) {
		l := &tester{T: t}
		l.Log = New(slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		}})))
		run(l)
		l.Close()
	})
}

// want wants these lines since the last call.
func (l *tester) want(lines ...string) {
	l.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	got := strings.Split(strings.TrimSpace(l.out.String()), "\n")
	l.out.Reset()
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		l.Errorf("logged\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

func TestTheFirstIsLoggedAtOnceAndTheRestOnceAMinute(t *testing.T) {
	bubble(t, func(l *tester) {
		l.Warn("a", "it failed", "n", 1)
		l.want(`msg="it failed" n=1`)
		for n := range 100 {
			l.Warn("a", "it failed", "n", 2+n)
			time.Sleep(500 * time.Millisecond)
		}
		l.want("")
		time.Sleep(10 * time.Second)
		l.want(`msg="it failed" n=101 times=100`)
		l.Warn("a", "it failed", "n", 200)
		l.want("")
		time.Sleep(time.Minute)
		l.want(`msg="it failed" n=200 times=1`)
	})
}

func TestWhatHasStoppedForAMinuteIsNewAgain(t *testing.T) {
	bubble(t, func(l *tester) {
		l.Warn("a", "it failed")
		time.Sleep(time.Minute + time.Second)
		l.want(`msg="it failed"`)
		l.Warn("a", "it failed")
		l.want(`msg="it failed"`)
	})
}

func TestKindsAreLoggedApart(t *testing.T) {
	bubble(t, func(l *tester) {
		l.Warn("a", "a failed")
		l.Warn("b", "b failed")
		l.want(`msg="a failed"`, `msg="b failed"`)
	})
}

func TestKindsBeyondTheMostCountTogether(t *testing.T) {
	bubble(t, func(l *tester) {
		for n := range 3 * mostKinds {
			l.Warn(strings.Repeat("x", n+1), "it failed")
		}
		synctest.Wait()
		if n := strings.Count(l.out.String(), "\n"); n != mostKinds || len(l.kinds) != mostKinds {
			t.Errorf("%d lines of %d kinds", n, len(l.kinds))
		}
	})
}

func TestCloseLogsWhatWasCounted(t *testing.T) {
	bubble(t, func(l *tester) {
		l.Warn("a", "it failed")
		l.Warn("a", "it failed")
		l.Close()
		l.want(`msg="it failed"`, `msg="it failed" times=1`)
		l.Warn("a", "it failed late")
		l.want(`msg="it failed late"`)
	})
}

func TestNothingIsLoggedWithoutALogger(*testing.T) {
	var none *Log
	none.Warn("a", "it failed")
	new(Log).Warn("a", "it failed")
	New(nil).Warn("a", "it failed")
}
