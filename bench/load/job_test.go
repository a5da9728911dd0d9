package load

import "testing"

func TestMatches(t *testing.T) {
	job := Job{Body: []byte(`{"took":12.5,"x":1}`), Varies: Span{8, 12}}
	for body, want := range map[string]struct{ length, bytes bool }{
		`{"took":12.5,"x":1}`:      {true, true},
		`{"took":9,"x":1}`:         {true, true},
		`{"took":1234567,"x":1}`:   {true, true},
		`{"took":12345678,"x":1}`:  {true, true},
		`{"took":123456789,"x":1}`: {false, false}, // longer by more than the part has bytes
		`{"took":12.5,"x":2}`:      {true, false},
		`{"tick":12.5,"x":1}`:      {true, false},
		`{"x":1}`:                  {false, false},
	} {
		if got := job.matches([]byte(body), false); got != want.length {
			t.Errorf("%s: by length %v", body, got)
		}
		if got := job.matches([]byte(body), true); got != want.bytes {
			t.Errorf("%s: by its bytes %v", body, got)
		}
	}
}
