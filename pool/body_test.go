package pool

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/internal/testing/testnet"
)

func TestEachOfTwoTriesAtOnceHasTheWholeBody(t *testing.T) {
	for _, how := range []string{"hang", "cut"} {
		s := newSandbox(t, testnet.Config{}, nil)
		s.get("/")
		s.freeze(time.Second)
		s.breaks(how)
		req, err := http.NewRequestWithContext(With(t.Context(), Options{Repeatable: true}), http.MethodPost, s.pool.BaseURL()+"/", io.MultiReader(strings.NewReader("hello")))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 5
		resp, err := s.pool.RoundTrip(req)
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		_ = resp.Body.Close()
	}
}
