package pool

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/internal/testing/await"
	"hearth/internal/testing/testnet"
)

// large is an answer that takes a share of the memory.
func large() string { return strings.Repeat("x", 4*smallAnswer) }

// free says whether no answer has a share of the memory.
func (a *Answers) free(all int64) bool {
	if !a.all.TryAcquire(all) {
		return false
	}
	a.all.Release(all)
	return true
}

func TestAnAnswerThatCameTooLateGivesItsMemoryBack(t *testing.T) {
	const all = 1 << 20
	answers := NewAnswers(all, all)
	p := start(t, testnet.Config{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, large())
	}, func(c *Config) { c.Answers = answers }).pool
	ctx, cancel := context.WithCancelCause(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.BaseURL()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &tries{race: p.race, req: req, lines: make(chan taken, 1), results: make(chan result)}
	s.start(ctx, Options{})
	await.That(t, "the answer is read", func() bool { return !answers.free(all) })
	cancel(errSlower) // another connection has brought the answer
	p.race.tries.Wait()
	if !answers.free(all) {
		t.Error("its share is never given back")
	}
}

func TestARedirectGivesItsMemoryBack(t *testing.T) {
	const all = 1 << 20
	answers := NewAnswers(all, all)
	p := start(t, testnet.Config{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
		_, _ = io.WriteString(w, large())
	}, func(c *Config) { c.Answers = answers })
	_ = p.fails(t.Context(), Request{Method: http.MethodGet, Path: "/"})
	if !answers.free(all) {
		t.Error("its share is never given back")
	}
}

// grpcServer answers with body in the way of gRPC, but for the content type.
func grpcServer(t *testing.T, contentType, body string, answers *Answers) *tester {
	return start(t, testnet.Config{HTTP2: true}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		_, _ = io.WriteString(w, body)
	}, func(c *Config) { c.GRPC, c.Answers, c.Retries = true, answers, -1 })
}

func TestWhatIsNotGRPCHasNoPrefix(t *testing.T) {
	const page = "<html>a page of a proxy</html>" // which would be a message of 1.7 GB
	p := grpcServer(t, "text/html", page, NewAnswers(1<<20, 1<<20))
	if got := p.get("/"); got != page {
		t.Errorf("got %q", got)
	}
}

func TestAnAnswerLongerThanItsPrefixSaysIsCutOff(t *testing.T) {
	message := func(announced int) string {
		return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(announced))) + large() //nolint:gosec // small
	}
	answers := NewAnswers(1<<20, 1<<20)
	if got := grpcServer(t, "application/grpc+proto", message(len(large())), answers).get("/"); len(got) != grpcPrefix+len(large()) {
		t.Errorf("%d bytes came", len(got))
	}
	for _, announced := range []int{0, 10} {
		p := grpcServer(t, "application/grpc+proto", message(announced), answers)
		if err := p.fails(t.Context(), Request{Method: http.MethodGet, Path: "/"}); !errors.Is(err, errLonger) {
			t.Errorf("%d bytes announced: got %v", announced, err)
		}
	}
	if !answers.free(1 << 20) {
		t.Error("memory is held after the answer")
	}
}

func TestALargeAnswerThatIsCutShortGivesItsMemoryBack(t *testing.T) {
	const all = 1 << 20
	answers := NewAnswers(all, all)
	p := start(t, testnet.Config{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(2*len(large())))
		_, _ = io.WriteString(w, large())
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, func(c *Config) { c.Answers, c.Retries = answers, -1 })
	_ = p.fails(t.Context(), Request{Method: http.MethodGet, Path: "/"})
	if !answers.free(all) {
		t.Error("its share is never given back")
	}
}

func TestAnAnswerWaitsForMemoryNoLongerThanItsCall(t *testing.T) {
	const all = 1 << 20
	answers := NewAnswers(all, all)
	p := start(t, testnet.Config{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large()) },
		func(c *Config) { c.Answers, c.Timeout = answers, 200*time.Millisecond })
	if !answers.all.TryAcquire(all) {
		t.Fatal("the memory is not free")
	}
	if err := p.fails(t.Context(), Request{Method: http.MethodGet, Path: "/"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	answers.all.Release(all)
	if got := p.get("/"); len(got) != len(large()) {
		t.Errorf("%d bytes came", len(got))
	}
}

func TestAnAnswerThatSaysHowLongItIsIsRefusedUnread(t *testing.T) {
	p := start(t, testnet.Config{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1001")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done() // its body never comes
	}, func(c *Config) { c.Answers = NewAnswers(1000, 1000) })
	err := p.fails(t.Context(), Request{Method: http.MethodGet, Path: "/"})
	if e, ok := errors.AsType[*TooLargeError](err); !ok || e.Bytes != 1001 || e.Most != 1000 {
		t.Errorf("got %v", err)
	}
}

func TestASmallAnswerWaitsForNoMemory(t *testing.T) {
	const all = 1 << 20
	if smallAnswer != 64<<10 { // as many bytes as the slots of a pool may take beside the bound
		t.Errorf("an answer of %d bytes is small", smallAnswer)
	}
	answers := NewAnswers(all, all)
	small := strings.Repeat("x", smallAnswer)
	plain := start(t, testnet.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/unknown" {
			_, _ = io.WriteString(w, small[1:])
			w.(http.Flusher).Flush() // of unknown length
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(small)))
		_, _ = io.WriteString(w, small)
	}, func(c *Config) { c.Answers = answers })
	grpc := grpcServer(t, "application/grpc", string(binary.BigEndian.AppendUint32([]byte{0}, smallAnswer))+small, answers)
	if !answers.all.TryAcquire(all) {
		t.Fatal("the memory is not free")
	}
	defer answers.all.Release(all)
	if got := plain.get("/"); got != small {
		t.Errorf("%d bytes came", len(got))
	}
	if got := plain.get("/unknown"); got != small[1:] {
		t.Errorf("%d bytes of unknown length came", len(got))
	}
	if got := grpc.get("/"); len(got) != grpcPrefix+smallAnswer {
		t.Errorf("%d bytes came over gRPC", len(got))
	}
}
