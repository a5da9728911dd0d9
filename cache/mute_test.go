package cache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"hearth/client/wire"
)

func TestAWriteOfAMuteThatFailedLeavesTheOneBeforeIt(t *testing.T) {
	bubble(t, func(x *tester) {
		old := time.Now()
		behind := func(context.Context) (LoadedMute, error) { return LoadedMute{Updated: old, MayLag: true}, nil }
		time.Sleep(time.Second)
		setMute(t, x.c, "a", wire.Mute{Muted: true}, nil)
		setMute(t, x.c, "a", wire.Mute{}, errLoad)
		if m, _, err := x.c.Mute(x.Context(), "a", policy, Directives{}, behind); !m.Muted || err != nil {
			t.Errorf("a replica that is behind: %+v %v", m, err)
		}
		done := func(context.Context) (LoadedMute, error) {
			return LoadedMute{Updated: time.Now(), MayLag: true}, nil
		}
		if m, _, err := x.c.Mute(x.Context(), "a", policy, Directives{NoCache: true}, done); m.Muted || err != nil {
			t.Errorf("it was done after all: %+v %v", m, err)
		}
	})
}

func TestMute(t *testing.T) {
	muted := func(at time.Time) func(context.Context) (LoadedMute, error) {
		return func(context.Context) (LoadedMute, error) {
			return LoadedMute{Mute: wire.Mute{Muted: true}, Updated: at}, nil
		}
	}
	read := func(x *tester, load func(context.Context) (LoadedMute, error)) (wire.Mute, Served) {
		m, o, err := x.c.Mute(x.Context(), "chat", policy, Directives{}, load)
		if err != nil {
			x.Error(err)
		}
		return m, o.Served
	}
	t.Run("a write is what the next read says", func(t *testing.T) {
		bubble(t, func(x *tester) {
			read(x, muted(time.Now()))
			setMute(t, x.c, "chat", wire.Mute{}, nil)
			if m, s := read(x, nil); m.Muted || s != Hit {
				t.Fatal(m, s)
			}
		})
	})
	t.Run("a load that a write overtakes does not fill", func(t *testing.T) {
		bubble(t, func(x *tester) {
			release := make(chan struct{})
			go read(x, func(ctx context.Context) (LoadedMute, error) { <-release; return muted(time.Now())(ctx) })
			synctest.Wait()
			setMute(t, x.c, "chat", wire.Mute{}, nil)
			close(release)
			synctest.Wait()
			if m, s := read(x, nil); m.Muted || s != Hit {
				t.Fatal(m, s)
			}
		})
	})
	t.Run("a write that failed leaves nothing held", func(t *testing.T) {
		bubble(t, func(x *tester) {
			read(x, muted(time.Now()))
			setMute(t, x.c, "chat", wire.Mute{}, errLoad)
			if m, s := read(x, muted(time.Now())); !m.Muted || s != Miss {
				t.Fatal(m, s)
			}
		})
	})
	t.Run("a replica that is behind does not undo a write", func(t *testing.T) {
		bubble(t, func(x *tester) {
			before := time.Now()
			time.Sleep(time.Second)
			setMute(t, x.c, "chat", wire.Mute{}, nil)
			behind := func(context.Context) (LoadedMute, error) {
				return LoadedMute{Mute: wire.Mute{Muted: true}, Updated: before, MayLag: true}, nil
			}
			time.Sleep(20 * time.Second)
			if m, s := read(x, behind); m.Muted || s != Miss {
				t.Fatal(m, s)
			}
			time.Sleep(time.Minute)
			if m, _ := read(x, behind); !m.Muted {
				t.Fatal("our own write is laid over loads for good")
			}
		})
	})
}

func TestMuteWritesOfAChatComeOneAfterAnother(t *testing.T) {
	bubble(t, func(x *tester) {
		write := func(ctx context.Context, chat string) (_ *MuteWrite, begun <-chan *MuteWrite) {
			c := make(chan *MuteWrite, 1)
			go func() {
				w, err := x.c.BeginMute(ctx, chat)
				if err != nil && !errors.Is(err, errLoad) {
					x.Error(err)
				}
				c <- w
			}()
			synctest.Wait()
			select {
			case w := <-c:
				return w, nil
			default:
				return nil, c
			}
		}
		first, _ := write(x.Context(), "a")
		other, _ := write(x.Context(), "b")
		if first == nil || other == nil {
			x.Fatal("a write waits although none is under way")
		}
		ctx, giveUp := context.WithCancelCause(x.Context())
		_, second := write(ctx, "a")
		time.Sleep(time.Second)
		_, third := write(x.Context(), "a")
		if second == nil || third == nil {
			x.Fatal("a write began beside another of the same chat")
		}
		giveUp(errLoad)
		if w := <-second; w != nil {
			x.Fatal("a write began although its caller has left")
		}
		if err := first.Commit(x.Context(), wire.Mute{Muted: true}); err != nil {
			x.Fatal(err)
		}
		time.Sleep(time.Second)
		first.End()
		last := <-third
		time.Sleep(time.Second)
		if err := last.Commit(x.Context(), wire.Mute{}); err != nil {
			x.Fatal(err)
		}
		last.End()
		other.End()
		m, o, err := x.c.Mute(x.Context(), "a", policy, Directives{}, nil)
		if m.Muted || o.Served != Hit || o.Age != time.Second || err != nil { // as old as the beginning of its write
			x.Errorf("got %+v %+v %v", m, o, err)
		}
		x.wantBounded()
	})
}

func TestAMuteThatWasRefusedChangesNothing(t *testing.T) {
	bubble(t, func(x *tester) {
		setMute(x, x.c, "a", wire.Mute{Muted: true}, nil)
		w, err := x.c.BeginMute(x.Context(), "a")
		if err != nil {
			x.Fatal(err)
		}
		w.End()
		if m, o, err := x.c.Mute(x.Context(), "a", policy, Directives{}, nil); !m.Muted || o.Served != Hit || err != nil {
			x.Errorf("got %+v %+v %v", m, o, err)
		}
	})
}
