package pool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Answers bounds the memory that answers take while they are read and decoded. Pools share it.
type Answers struct {
	each int64
	all  *semaphore.Weighted
}

// smallAnswer is the size up to which an answer takes no share of the memory. The slots bound how many small answers there are.
const smallAnswer = 64 << 10

// NewAnswers makes the bounds: one answer may have each bytes. The answers larger than 64 KiB that are under way at the same time
// may have all bytes together; all counts as each if it is less.
func NewAnswers(each, all int64) *Answers {
	return &Answers{each: each, all: semaphore.NewWeighted(max(each, all))}
}

// Each is how many bytes one answer may have.
func (a *Answers) Each() int64 { return a.each }

// TooLargeError is an answer that was not read because it has more bytes than one may have.
type TooLargeError struct {
	Bytes int64 // of the answer; 0: the answer has not announced its size
	Most  int64 // that one may have
}

func (e *TooLargeError) Error() string {
	if e.Bytes == 0 {
		return fmt.Sprintf("answer too large: more than %d bytes", e.Most)
	}
	return fmt.Sprintf("answer too large: %d bytes are more than %d", e.Bytes, e.Most)
}

// Unwrap says that it is an [ErrTooLarge].
func (e *TooLargeError) Unwrap() error { return ErrTooLarge }

// errLonger is an answer of gRPC that goes on after the message that its prefix announces.
var errLonger = errors.New("the answer is longer than it says")

// read reads the body of an answer, and replaces it by one that is in memory. Closing the new body gives back its share of the
// memory.
func (a *Answers) read(ctx context.Context, resp *http.Response, grpc bool) (err error) {
	body := resp.Body
	share := int64(0)
	defer func() {
		if e := body.Close(); err == nil {
			err = e
		}
		if err != nil {
			a.all.Release(share)
		}
	}()
	size, start, err := announced(resp, grpc)
	if err != nil {
		return err
	}
	if size > a.each {
		return &TooLargeError{Bytes: size, Most: a.each}
	}
	var b bytes.Buffer
	whole := false
	if size < 0 { // the answer has not announced its size
		switch _, err = io.CopyN(&b, body, min(smallAnswer, a.each)); {
		case err == nil:
			size = a.each
		case errors.Is(err, io.EOF):
			whole, size = true, int64(b.Len())
		default:
			return err
		}
	}
	if size > smallAnswer {
		if a.all.Acquire(ctx, size) != nil {
			return context.Cause(ctx)
		}
		share = size
	}
	most := size + int64(len(start))
	if !whole {
		b.Grow(int(most) + bytes.MinRead)
		b.Write(start)
		if _, err = b.ReadFrom(io.LimitReader(body, most+1-int64(b.Len()))); err != nil {
			return err
		}
	}
	switch {
	case int64(b.Len()) <= most:
	case size == a.each:
		return &TooLargeError{Most: a.each}
	default: // the answer is longer than its share of the memory
		return errLonger
	}
	resp.Body = &heldBody{Reader: bytes.NewReader(b.Bytes()), bytes: b.Bytes(), release: sync.OnceFunc(func() { a.all.Release(share) })}
	return nil
}

// grpcPrefix is the length of what stands before a message of gRPC: a byte that says whether it is compressed, and four
// with its length.
const grpcPrefix = 5

// announced returns the size that the answer announces, -1 if it announces none, and the bytes that had to be read to know it.
func announced(resp *http.Response, grpc bool) (size int64, start []byte, err error) {
	if resp.Request != nil && resp.Request.Method == http.MethodHead { // the header has the size that GET's answer would have
		return 0, nil, nil
	}
	if !grpc || resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/grpc") { // a proxy's page
		return resp.ContentLength, nil, nil
	}
	start = make([]byte, grpcPrefix)
	n, err := io.ReadFull(resp.Body, start)
	switch {
	case err == nil:
		return int64(binary.BigEndian.Uint32(start[1:])), start, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // an answer that is a status alone
		return 0, start[:n], nil
	}
	return 0, nil, err
}

// heldBody is the body of an answer in memory.
type heldBody struct {
	*bytes.Reader
	bytes   []byte
	release func()
}

func (h *heldBody) Close() error {
	h.release()
	return nil
}

// bodyOf is the whole body of an answer that a pool has read.
func bodyOf(resp *http.Response) ([]byte, error) {
	if h, ok := resp.Body.(*heldBody); ok {
		return h.bytes, nil
	}
	return io.ReadAll(resp.Body)
}
