package chat

import (
	"errors"
	"testing"

	"hearth/pool"
)

func TestAWriteThatMayBeRepeatedStillHasAnUnknownOutcome(t *testing.T) {
	if !errors.Is(&RepeatableError{pool.ErrUnknownOutcome}, pool.ErrUnknownOutcome) {
		t.Error("the outcome is not unknown")
	}
}
