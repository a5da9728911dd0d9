package pool

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"testing"
	"testing/iotest"
)

// FuzzAnswer reads any answer, of gRPC too: what is let in is what came, within its bounds, and its memory is given back.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"a":1}`), int64(7), false, uint8(0))
	f.Add([]byte{0, 0, 0, 0, 2, 'h', 'i'}, int64(-1), true, uint8(0))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff}, int64(-1), true, uint8(1))
	f.Add([]byte{0, 0, 0, 0, 9, 'h', 'i'}, int64(7), true, uint8(2))
	f.Add(bytes.Repeat([]byte("x"), 100), int64(3), false, uint8(100))
	f.Fuzz(func(t *testing.T, body []byte, length int64, grpc bool, repeat uint8) {
		const each, all = 2 * smallAnswer, 3 * smallAnswer
		body = append(bytes.Clone(body), bytes.Repeat([]byte{'x'}, int(repeat)<<10)...)
		answers := NewAnswers(each, all)
		resp := &http.Response{
			StatusCode: http.StatusOK, ContentLength: max(-1, length), Header: http.Header{},
			Body: io.NopCloser(iotest.OneByteReader(io.LimitReader(bytes.NewReader(body), 256<<10))),
		}
		if grpc {
			resp.Header.Set("Content-Type", "application/grpc")
		}
		err := answers.read(t.Context(), resp, grpc)
		if err != nil {
			if !answers.free(all) {
				t.Errorf("%v, and the memory is not given back", err)
			}
			return
		}
		got, err := bodyOf(resp)
		if err != nil || !bytes.Equal(got, body) || len(got) > each+grpcPrefix {
			t.Errorf("%d bytes came, and %d are read: %v", len(body), len(got), err)
		}
		if grpc && len(body) > grpcPrefix && int64(len(got)) > grpcPrefix+int64(binary.BigEndian.Uint32(body[1:])) {
			t.Errorf("a message of %d bytes is longer than it says", len(got))
		}
		if err := resp.Body.Close(); err != nil || !answers.free(all) {
			t.Errorf("the memory is not given back: %v", err)
		}
	})
}
