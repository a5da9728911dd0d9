package fetch

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"hearth/cache"
)

// Two requests share a load, and its answer is for the first one alone. So the second one asks for itself, and its host fails.
func TestARequestThatAsksForItselfAfterAllGetsTheAnswerOfAHostThatFails(t *testing.T) {
	x := newTester(t)
	x.handle(func(w http.ResponseWriter, _ *http.Request) {
		if x.asked.Load() > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		<-time.After(100 * time.Millisecond) // the second request comes meanwhile
		w.Header().Set("Etag", `"v1"`)
		w.Header().Set("Cache-Control", "max-age=0")
		_, _ = io.WriteString(w, "body")
	})
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if f, _, err := x.get(cache.Directives{}, "/"); err != nil || f.Status != 200 && f.Status != 503 {
				t.Errorf("%d, %v", f.Status, err)
			}
		})
	}
	both.Wait()
}

func TestAURLThatIsSlowDoesNotOpenTheBreakerOfItsHost(t *testing.T) {
	x := newTester(t)
	x.handle(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-time.After(1300 * time.Millisecond)
		}
	})
	for range 10 {
		x.want("", "miss miss", cache.Directives{}, "/fast")
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			if f, _, err := x.get(cache.Directives{}, "/slow", "X-Number", strconv.Itoa(i)); err != nil || f.Status != 200 {
				t.Errorf("%d, %v", f.Status, err)
			}
		})
	}
	all.Wait()
}

func TestAnAnswerThatIsConfirmedWithoutADateIsAsFreshAsANewOne(t *testing.T) {
	x := newTester(t)
	x.handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		w.Header().Set("Cache-Control", "max-age=10")
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Date", time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat))
		_, _ = io.WriteString(w, "body")
	})
	x.want("body", "miss miss", cache.Directives{}, "/")
	x.wait(time.Second)
	x.want("body", "miss stale", cache.Directives{}, "/")
	x.want("body", "hit", cache.Directives{}, "/")
}
