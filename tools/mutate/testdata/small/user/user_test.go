package user

import (
	"testing"

	"small"
)

func TestUser(t *testing.T) {
	if small.Both(true, false) {
		t.Error("Both")
	}
}
