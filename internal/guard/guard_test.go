package guard_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"hearth/internal/guard"
)

func Example() {
	done := make(chan error)
	go func() { done <- guard.Do(func() error { return errors.New("an error stays what it is") }) }()
	fmt.Println(<-done)
	// Output: an error stays what it is
}

func TestAPanicIsAnErrorThatSaysWhere(t *testing.T) {
	for _, thrown := range []any{"boom", fmt.Errorf("boom: %w", context.Canceled), nil} {
		err := guard.Do(func() error { thrower(thrown); return nil })
		if !errors.Is(err, guard.ErrPanic) || !strings.Contains(err.Error(), "guard_test.thrower") {
			t.Errorf("of %v came %v", thrown, err)
		}
		if thrown != nil && !strings.Contains(err.Error(), "boom") {
			t.Errorf("what was thrown is lost: %v", err)
		}
		if errors.Is(err, context.Canceled) {
			t.Error("what was thrown passes for what was returned")
		}
	}
}

func thrower(v any) { panic(v) }

func TestWhatDoesNotPanicIsLeftAlone(t *testing.T) {
	for _, want := range []error{nil, io.EOF} {
		if err := guard.Do(func() error { return want }); err != want { //nolint:errorlint // the very same
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestAResultComesWithItsError(t *testing.T) {
	if got, err := guard.Get(func() (int, error) { return 7, io.EOF }); got != 7 || err != io.EOF { //nolint:errorlint // the very same
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := guard.Get(func() (int, error) { thrower("boom"); return 7, nil }); got != 0 || !errors.Is(err, guard.ErrPanic) {
		t.Errorf("of a panic came %v, %v", got, err)
	}
}

func TestAllWaitsForAllAndAPanicIsAnErrorOfIt(t *testing.T) {
	ended := false
	err := guard.All(
		func() error { thrower("boom"); return nil },
		func() error { ended = true; return nil },
	)
	if !errors.Is(err, guard.ErrPanic) || !ended {
		t.Errorf("it returned %v; the other has ended: %v", err, ended)
	}
	if err := guard.All(); err != nil {
		t.Errorf("none is no error: %v", err)
	}
}
