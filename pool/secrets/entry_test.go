package secrets

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearth/pool"
)

// scripted is a store whose service answers what next says, in a bubble.
func scripted(t *testing.T, next func() (string, error)) (store *Store, asked *int) {
	t.Helper()
	store, asked = New(Config{}), new(int)
	t.Cleanup(store.Close)
	store.asks = func(arn) (string, error) {
		*asked++
		time.Sleep(time.Millisecond)
		return next()
	}
	return store, asked
}

func TestCallersAtOnceShareARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value := `{"a":"1","b":"2"}`
		store, asked := scripted(t, func() (string, error) { return value, nil })
		a, b := named(t, store, inManager+"#a"), named(t, store, inManager+"#b") // of one secret
		all := func(do func(*Secret) (string, error), want ...string) {
			var callers sync.WaitGroup
			for i := range 100 {
				callers.Go(func() {
					if got, err := do([]*Secret{a, b}[i%2]); got != want[i%2] || err != nil {
						t.Errorf("got %q, %v", got, err)
					}
				})
			}
			callers.Wait()
		}
		all(func(s *Secret) (string, error) { return s.Value(t.Context()) }, "1", "2")
		if *asked != 1 {
			t.Errorf("asked %d times", *asked)
		}
		value = `{"a":"3","b":"4"}`
		all(func(s *Secret) (string, error) { return s.Renew(t.Context(), map[*Secret]string{a: "1", b: "2"}[s]) }, "3", "4")
		all(func(s *Secret) (string, error) { return s.Renew(t.Context(), map[*Secret]string{a: "1", b: "2"}[s]) }, "3", "4") // late: newer values are known
		if *asked != 2 {
			t.Errorf("asked %d times", *asked)
		}
	})
}

func TestAValueThatIsRefusedAndNotRotatedIsAskedForOnceInTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value, fail := "old", error(nil)
		store, asked := scripted(t, func() (string, error) { return value, fail })
		s := named(t, store, inManager)
		_, _ = s.Value(t.Context())
		for range 100 { // 20 s
			if got, err := s.Renew(t.Context(), "old"); got != "old" || err != nil {
				t.Fatalf("got %q, %v", got, err)
			}
			time.Sleep(200 * time.Millisecond)
		}
		if *asked != 3 {
			t.Errorf("in 20 s asked %d times, want once, and then once in 10 s", *asked)
		}
		time.Sleep(quiet)
		fail = &refusal{text: "down", retryable: true}
		_, err := s.Renew(t.Context(), "old")
		got, valueErr := s.Value(t.Context())
		if err == nil || got != "old" || valueErr != nil {
			t.Errorf("while the service is down: %v; the value is %q, %v", err, got, valueErr)
		}
		fail, value = nil, "new"
		time.Sleep(leastPause)
		if got, err := s.Renew(t.Context(), "old"); got != "new" || err != nil {
			t.Errorf("after that: %q, %v", got, err)
		}
	})
}

func TestAServiceThatIsDownIsAskedSeldomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := error(&refusal{text: "down", retryable: true})
		store, asked := scripted(t, func() (string, error) { return "key", fail })
		s := named(t, store, inManager)
		for range 600 { // a minute
			_, err := s.Value(t.Context())
			if e, ok := errors.AsType[*pool.SecretError](err); !ok || !e.Retryable {
				t.Fatalf("got %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if *asked < 7 || *asked > 10 { // at 0, 1, 3, 7, 15, and then each 10 s
			t.Errorf("in a minute asked %d times", *asked)
		}
		fail = nil
		time.Sleep(quiet)
		if got, err := s.Value(t.Context()); got != "key" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestAPanicAndTheEndAreFaults(t *testing.T) {
	store := New(Config{})
	store.asks = func(arn) (string, error) { panic("hunter2") }
	s := named(t, store, inManager)
	if _, err := s.Value(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	store.Close()
	if _, err := named(t, store, inSSM).Value(t.Context()); err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("got %v", err)
	}
}
