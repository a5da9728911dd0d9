package sidecar

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"hearth/client/wire"
)

func TestJobsLeaveRoomForARequestThatIsWaitedFor(t *testing.T) {
	var waiting atomic.Int64
	end := make(chan struct{})
	e := fetchFromHandler(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/waits" {
			waiting.Add(1)
			select {
			case <-end:
			case <-r.Context().Done():
			}
		}
	}, nil)
	defer close(end)
	for i := range 20 {
		e.want(http.StatusAccepted, "POST", wire.PathFetch, fmt.Sprintf(`{"url":"%s/waits?%d","async":true}`, e.URL, i))
	}
	for waiting.Load() < 7 {
		<-time.After(time.Millisecond)
	}
	if got, _ := e.fetch(t, "/", `,"timeout_ms":5000`); got.Status != 200 {
		t.Errorf("%+v", got)
	}
}
