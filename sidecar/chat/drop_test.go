package chat

import (
	"context"
	"testing"
	"time"

	"hearth/cache"
)

func TestWhatIsHeldUnderAChatsSpellingIsDropped(t *testing.T) {
	memory, err := cache.New(cache.Config{Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Close)
	s, err := New(Config{Cache: memory})
	if err != nil {
		t.Fatal(err)
	}
	load := func(context.Context) (cache.LoadedMute, error) { return cache.LoadedMute{}, nil }
	if _, _, err := memory.Mute(t.Context(), "chat", cache.Policy{Fresh: time.Minute}, cache.Directives{}, load); err != nil {
		t.Fatal(err)
	}
	if n, err := s.DropChat("chat"); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
}
