package fetch

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"hearth/cache"
	"hearth/client/wire"
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

func TestAHEADIsAnsweredByWhatAGETHasBrought(t *testing.T) {
	x := newTester(t)
	x.answers(200, "Cache-Control", "max-age=10", "Etag", `"v1"`)
	head := func() (cache.Reply, bool) {
		return x.service.Held(x.pulse.Now(), x.request(http.MethodHead, "/"), cache.Directives{})
	}
	if _, held := head(); held {
		t.Error("something is held before anything was asked")
	}
	x.want("1", "miss miss", cache.Directives{}, "/")
	var f wire.Fetched
	if reply, held := head(); !held || json.Unmarshal(reply.Body, &f) != nil || f.Status != 200 || f.Headers["Etag"] != `"v1"` || f.Body != "" || reply.ETag != cache.ETag(reply.Body) {
		t.Errorf("%t, %+v", held, f)
	}
	x.wait(time.Minute)
	if _, held := head(); held || x.asked.Load() != 1 {
		t.Errorf("what is stale answers, or %d requests went out", x.asked.Load())
	}
}

// A redirect that is held and where it leads count once each, however the request was answered.
func TestAHeldRedirectCountsOnce(t *testing.T) {
	x := newTester(t)
	x.handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/there", http.StatusMovedPermanently)
		}
	})
	x.want("", "miss miss", cache.Directives{}, "/moved")
	before := x.service.cache.Stats().Resources["fetch"].Hits
	x.want("", "hit", cache.Directives{}, "/moved")
	if hits := x.service.cache.Stats().Resources["fetch"].Hits - before; hits != 2 {
		t.Errorf("%d hits", hits)
	}
}
