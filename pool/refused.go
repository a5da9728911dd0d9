package pool

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"hearth/pool/conn"
)

// refused says whether err means that the upstream has not read a request and will not read it. HTTP/2 has three signs of
// that: RST_STREAM with REFUSED_STREAM, a GOAWAY whose last stream is an earlier one, and no free stream on the connection. err
// must come from before any answer.
func refused(err error) bool {
	if err == nil {
		return false
	}
	if refusedStream(err) {
		return true
	}
	text := err.Error() // net/http tells the rest in no other way
	switch text {
	case "http2: client conn not usable", "http2: client conn could not be established",
		"http2: Transport received Server's graceful shutdown GOAWAY":
		return true
	}
	return strings.HasPrefix(text, "http2: Transport received GOAWAY from server ErrCode:") // above its last stream too
}

// unread says whether err is that of a request which was refused in this way.
func unread(err error) bool {
	unsent, ok := errors.AsType[*conn.UnsentError](err)
	return ok && refused(unsent.Err)
}

func refusedStream(err error) bool {
	const code = 7 // RFC 9113, section 7
	e, ok := errors.AsType[streamError](err)
	return ok && e.Code == code
}

// streamError is net/http's own, which errors.As takes for it by the names of its fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string {
	return fmt.Sprintf("HTTP/2 stream %d: code %d", e.StreamID, e.Code)
}

// unsent returns the error of a request that was refused. If the connection had no stream left for it, new connections get one
// request first ([conn.Conns.Careful]).
func (s *sender) unsent(ctx context.Context, err error) error {
	optionsOf(ctx).countSent(-1)
	if refusedStream(err) {
		s.conns.Careful()
	}
	return &conn.UnsentError{Err: err}
}
