package weaviate

import (
	"cmp"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"hearth/pool"
)

// mostGrowth is how many times the bytes that one answer may have its messages may take in memory.
const mostGrowth = 6

// codec is the codec of gRPC, which refuses an answer of so many small fields that they would take far more memory than its bytes.
type codec struct {
	most int64 // bytes of one answer
}

func (codec) Name() string { return "proto" }

func (codec) Marshal(m any) ([]byte, error) {
	message, ok := m.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", m)
	}
	return proto.Marshal(message)
}

func (c codec) Unmarshal(b []byte, m any) error {
	message, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", m)
	}
	if weight := weigh(b, message.ProtoReflect().Descriptor(), mostDepth); weight > mostGrowth*c.most {
		return &pool.TooLargeError{Bytes: weight / mostGrowth, Most: c.most}
	}
	return proto.Unmarshal(b, message)
}

// mostDepth is how deep messages are weighed: deeper ones take a stack of their own to read.
const mostDepth = 100

// weigh estimates how many bytes a message takes in memory. What cannot be read weighs nothing: [proto.Unmarshal] refuses it.
func weigh(b []byte, of protoreflect.MessageDescriptor, depth int) int64 {
	const message, field = 128, 32
	weight := int64(message)
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return weight
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			return weight
		}
		weight += field
		if f := of.Fields().ByNumber(number); f != nil && f.Message() != nil && kind == protowire.BytesType && depth > 0 {
			inner, _ := protowire.ConsumeBytes(b[n:])
			weight += weigh(inner, f.Message(), depth-1)
		} else {
			weight += int64(size)
		}
		b = b[n+size:]
	}
	return weight
}

// lightJSON sends REST's requests through a pool. It refuses answers as codec does.
type lightJSON struct{ pool *pool.Pool }

func (l lightJSON) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.pool.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, ok := resp.Body.(io.ReadSeeker) // it is in memory
	if !ok {
		return resp, nil
	}
	weight, most := weighJSON(body), l.pool.MaxAnswer()
	if _, err := body.Seek(0, io.SeekStart); err != nil || weight > mostGrowth*most {
		_ = resp.Body.Close()
		return nil, cmp.Or(err, error(&pool.TooLargeError{Bytes: weight / mostGrowth, Most: most}))
	}
	return resp, nil
}

// weighJSON estimates how many bytes JSON takes in memory once it is decoded.
func weighJSON(r io.Reader) (weight int64) {
	const object, element = 512, 32
	inText, escaped := false, false
	buffer := make([]byte, 4<<10)
	for {
		n, err := r.Read(buffer)
		weight += int64(n)
		for _, c := range buffer[:n] {
			switch {
			case escaped:
				escaped = false
			case inText && c == '\\':
				escaped = true
			case c == '"':
				inText = !inText
			case inText:
			case c == '{':
				weight += object
			case c == '[', c == ',', c == ':':
				weight += element
			}
		}
		if err != nil {
			return weight
		}
	}
}
