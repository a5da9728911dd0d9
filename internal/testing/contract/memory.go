package contract

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/client"
	"hearth/internal/testing/await"
)

// memory reads a chat of 27 MB five times at once, in a function of 128 MB.
func (s *suite) memory(t *testing.T) {
	const size, most = 450_000, 128 << 20
	chat, messages, rounds := "27 MB", 60, 8
	if raceDetector { // it is slow with much memory, and takes more
		messages, rounds = 16, 1
	}
	writer := s.start(t)
	for i := range messages {
		content := fmt.Sprintf("ferry %d %s", i, strings.Repeat(string(rune('a'+i%26)), size))
		writer.write(t, chat, client.NewMessage{Role: side(i), Content: content, CreatedAt: instant(time.Duration(i) * time.Second)})
	}
	h := s.start(t, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128")
	for round := range rounds {
		var g sync.WaitGroup
		for i := range 5 {
			g.Go(func() {
				n := []int{200, 30, 4, 1}[(round+i)%4]
				if _, err := h.try(t.Context(), http.MethodGet, historyPath(chat, n, 200), nil, "Cache-Control", "no-cache"); err != nil {
					t.Error(err)
				}
			})
		}
		g.Wait()
	}
	peak, err := h.peakMemory()
	if errors.Is(err, fs.ErrNotExist) { // not Linux
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("at most %d MB resident", peak>>20)
	if peak > most && !raceDetector {
		t.Errorf("at most %d MB were resident", peak>>20)
	}
}

// peakMemory is the most that was ever resident of the sidecar.
func (h *hearth) peakMemory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.pid))
	if err != nil {
		return 0, err
	}
	kb := regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(status)
	if kb == nil {
		return 0, fmt.Errorf("no VmHWM in %s", status)
	}
	n, err := strconv.ParseInt(string(kb[1]), 10, 64)
	return n << 10, err
}

// hangingSchema makes thousands of calls that give up while Weaviate does not answer what a class looks like.
func (s *suite) hangingSchema(t *testing.T) {
	s.standIn(t)
	released := make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	t.Cleanup(func() { release(); s.Weaviate.SetHook(nil) })
	s.Weaviate.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/v1/schema/") {
			select {
			case <-released:
			case <-r.Context().Done():
			}
		}
		return false
	})
	h := s.start(t, "HEARTH_WEAVIATE_TIMEOUT=1m")
	ask := func(timeout int) (reply, error) {
		return h.try(t.Context(), http.MethodPost, "/v1/preprocess", map[string]any{"chat_id": "a", "text": "x", "route_name": "x", "num_messages": 5, "timeout_ms": timeout})
	}
	const most = 32 << 20
	calls := func(n int) {
		var g sync.WaitGroup
		for range 8 {
			g.Go(func() {
				for range n / 8 {
					if r, err := ask(1); err != nil || r.status != http.StatusBadGateway {
						t.Errorf("without a schema: %v, %v", r, err)
						return
					}
				}
			})
		}
		g.Wait()
	}
	calls(400)
	before, err := h.peakMemory()
	if errors.Is(err, fs.ErrNotExist) { // not Linux
		t.Skip(err)
	}
	calls(8_000)
	after, err := h.peakMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("from %d to %d MB resident", before>>20, after>>20)
	if after-before > most && !raceDetector {
		t.Errorf("8000 calls have taken %d MB", (after-before)>>20)
	}
	release()
	await.ThatWithin(t, patience, "a call is answered once Weaviate tells", func() bool {
		r, err := ask(5000)
		return err == nil && r.status == http.StatusOK
	})
}
