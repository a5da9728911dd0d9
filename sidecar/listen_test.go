package sidecar

import (
	"errors"
	"log/slog"
	"net"
	"testing"
)

func TestAClosedListenerIsNotAskedAgain(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := &slotListener{Listener: l, ctx: t.Context(), server: &Server{cfg: Config{Logger: slog.New(slog.DiscardHandler)}}}
	if _, err := again.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
