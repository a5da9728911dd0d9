package guard

import (
	"errors"
	"strings"
	"testing"
)

func TestAPanicIsAnErrorWithItsStack(t *testing.T) {
	err := Do(func() error { panic("out of luck") })
	if err == nil || !strings.Contains(err.Error(), "panic: out of luck") || !strings.Contains(err.Error(), "guard_test.go") {
		t.Errorf("%v", err)
	}
}

func TestWhatDoesNotPanicIsAsItWas(t *testing.T) {
	sorry := errors.New("sorry")
	for _, want := range []error{nil, sorry} {
		if err := Do(func() error { return want }); !errors.Is(err, want) {
			t.Errorf("%v becomes %v", want, err)
		}
	}
}
