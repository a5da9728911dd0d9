package weaviate

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/protobuf/proto"

	"hearth/pool"
)

// mostGrowth is how many times the bytes that one answer may have its messages may take in memory.
const mostGrowth = 6

// codec is the codec of gRPC. It reads answers as [reply].
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

func (c codec) Unmarshal(b []byte, m any) (err error) {
	switch m := m.(type) {
	case *reply:
		m.rows, err = readReply(b, mostGrowth*c.most)
		return err
	case proto.Message: // the details of an error
		if len(b) > mostDetails {
			return errors.New("the details of the error are too long")
		}
		return proto.Unmarshal(b, m)
	}
	return fmt.Errorf("%T is no message", m)
}

// mostDetails is how many bytes the details of an error may have.
const mostDetails = 64 << 10

// lightJSON sends REST's requests through a pool. It refuses answers as codec does.
type lightJSON struct {
	pool        *pool.Pool
	credentials *credentials
}

func (l lightJSON) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.pool.RoundTrip(req.WithContext(l.credentials.with(req.Context())))
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
