package chat

import (
	"testing"

	"go.uber.org/goleak"

	"hearth/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newService(t *testing.T, cfg Config) *Service {
	t.Helper()
	memory, err := cache.New(cache.Config{Bytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	cfg.Cache = memory
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDefaultsAreThoseOfTheDocs(t *testing.T) {
	for _, n := range []int{0, -1} {
		if c := newService(t, Config{Preview: n, Workers: n}).cfg; c.Preview != 200 || c.Workers != 5 {
			t.Errorf("%+v", c)
		}
	}
	if c := newService(t, Config{Preview: 1, Workers: 1}).cfg; c.Preview != 1 || c.Workers != 1 {
		t.Errorf("what is set becomes %+v", c)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a service without a cache was made")
	}
}
