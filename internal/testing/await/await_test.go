package await_test

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hearth/internal/testing/await"
)

// failing is a test that notes why it was ended.
type failing struct {
	testing.TB
	why string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.why = strings.NewReplacer("%v", args[0].(time.Duration).String(), "%s", args[1].(string)).Replace(format)
	runtime.Goexit()
}

func TestItWaitsUntilTheAnswerIsYes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		await.That(t, "a second has passed", func() bool { return time.Since(began) >= time.Second })
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestItDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f := &failing{TB: t}
		go func() {
			await.ThatWithin(f, 3*time.Second, "it is so", func() bool { return false })
			t.Error("it goes on")
		}()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if f.why != "after 3s it is not so that it is so" || time.Since(began) != 3*time.Second {
			t.Errorf("%q after %v", f.why, time.Since(began))
		}
	})
}
