package small

import "testing"

func TestSmall(t *testing.T) {
	if Clamp(1) != 1 || Clamp(1000) != 100 {
		t.Error("Clamp")
	}
	if !Both(true, true) || Both(false, false) {
		t.Error("Both")
	}
	if Sum(3) != 6 {
		t.Error("Sum")
	}
	if Join("a", "b") != "ab" {
		t.Error("Join")
	}
}
