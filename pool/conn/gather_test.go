package conn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
)

// sink is a connection that takes a write when the test lets it.
type sink struct {
	net.Conn

	let    chan error // what each write returns
	closed chan struct{}
	once   sync.Once

	mu  sync.Mutex
	got [][]byte // guarded by mu
}

func newSink() *sink { return &sink{let: make(chan error), closed: make(chan struct{})} }

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.got = append(s.got, bytes.Clone(p))
	s.mu.Unlock()
	select {
	case err := <-s.let:
		return len(p), err
	case <-s.closed:
		return 0, net.ErrClosed
	}
}

func (s *sink) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func TestWhatIsWrittenWhileAWriteIsUnderWayGoesOutAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		g := gather(s)
		write := func(text string) {
			if n, err := g.Write([]byte(text)); n != len(text) || err != nil {
				t.Fatal(n, err)
			}
		}
		write("a")
		synctest.Wait()
		write("bc")
		write("d")
		s.let <- nil
		synctest.Wait()
		s.let <- nil
		synctest.Wait()
		write("e")
		s.let <- nil
		synctest.Wait()
		if got := string(bytes.Join(s.got, []byte("|"))); got != "a|bcd|e" {
			t.Errorf("got %s", got)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAWriteWaitsWhileTooMuchIsGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		g := gather(s)
		full := bytes.Repeat([]byte("x"), mostGathered)
		_, _ = g.Write(full)
		synctest.Wait() // the kernel has it, and takes nothing more
		_, _ = g.Write(full)
		done := make(chan error, 1)
		go func() { _, err := g.Write([]byte("y")); done <- err }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		s.let <- nil
		if err := <-done; err != nil {
			t.Error(err)
		}
		go func() { _, err := g.Write(full); done <- err }()
		go func() { _, err := g.Write(full); done <- err }()
		synctest.Wait()
		if err := g.Close(); err != nil { // ends all that wait
			t.Error(err)
		}
		synctest.Wait()
		if a, b := <-done, <-done; !errors.Is(errors.Join(a, b), net.ErrClosed) {
			t.Errorf("%v, %v", a, b)
		}
		if _, err := g.Write(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestAnErrorClosesAConnectionThatGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		g := gather(s)
		_, _ = g.Write([]byte("a"))
		s.let <- io.ErrShortWrite
		<-s.closed
		synctest.Wait()
		if _, err := g.Write([]byte("b")); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("got %v", err)
		}
	})
}
