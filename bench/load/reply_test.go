package load

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestBody(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\nAge: 1\r\n\r\n"
	for _, c := range []struct {
		name     string
		protocol Protocol
		data     string
		want     string // "": not complete
		fault    string // in the error; "": none
	}{
		{"whole", HTTP, ok + "hello", "hello", ""},
		{"no byte of the body", HTTP, ok, "", ""},
		{"a byte is missing", HTTP, ok + "hell", "", ""},
		{"half a head", HTTP, ok[:30], "", ""},
		{"nothing", HTTP, "", "", ""},
		{"a byte too many", HTTP, ok + "hello!", "", "1 bytes follow"},
		{"other letters", HTTP, "HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\nhello", "hello", ""},
		{"refused", HTTP, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "", "401"},
		{"a longer status", HTTP, "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "", "2000"},
		{"another protocol", HTTP, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "", "HTTP/1.0"},
		{"no length", HTTP, "HTTP/1.1 200 OK\r\nServer: x\r\n\r\nhello", "", "no Content-Length"},
		{"two lengths", HTTP, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "", "two lengths"},
		{"a name that goes on", HTTP, "HTTP/1.1 200 OK\r\nContent-Length-Not: 1\r\n\r\n", "", "no Content-Length"},
		{"a negative length", HTTP, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "", "length"},
		{"a huge length", HTTP, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "", "length"},
		{"a bulk string", RESP, "$5\r\nhello\r\n", "hello", ""},
		{"without its end", RESP, "$5\r\nhello", "", ""},
		{"half of its end", RESP, "$5\r\nhello\r", "", ""},
		{"another end", RESP, "$5\r\nhello__", "", "ends with"},
		{"more after its end", RESP, "$5\r\nhello\r\n$", "", "1 bytes follow"},
		{"no value", RESP, "$-1\r\n", "", "length"},
		{"an error", RESP, "-NOAUTH\r\n", "", "NOAUTH"},
		{"half of a length", RESP, "$5", "", ""},
		{"an empty line", RESP, "\r\n", "", "bad reply"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.protocol.body([]byte(c.data))
			if c.fault == "" && err != nil || c.fault != "" && (!errors.Is(err, errReply) || !strings.Contains(err.Error(), c.fault)) {
				t.Errorf("the error is %v", err)
			}
			if string(got) != c.want {
				t.Errorf("the body is %q and not %q", got, c.want)
			}
		})
	}
}

func TestAnEmptyBodyIsComplete(t *testing.T) {
	for protocol, data := range map[Protocol]string{HTTP: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", RESP: "$0\r\n\r\n"} {
		if got, err := protocol.body([]byte(data)); got == nil || len(got) != 0 || err != nil {
			t.Errorf("%s: %v, %v", protocol, got, err)
		}
	}
}

// Whatever comes, a body is a part of it; and a reply that is complete was not complete before its last byte.
func FuzzBody(f *testing.F) {
	f.Add(true, []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add(false, []byte("$5\r\nhello\r\n"))
	f.Add(true, []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"))
	f.Add(false, []byte("$-1\r\n"))
	f.Fuzz(func(t *testing.T, http bool, data []byte) {
		protocol := RESP
		if http {
			protocol = HTTP
		}
		body, err := protocol.body(data)
		if err != nil || body == nil {
			return
		}
		if !bytes.Contains(data, body) {
			t.Fatalf("%q is no part of %q", body, data)
		}
		if again, err := protocol.body(data[:len(data)-1]); again != nil || err != nil {
			t.Fatalf("without its last byte %q is %q, %v", data, again, err)
		}
	})
}

// A reply that is sent in two pieces, cut anywhere, has the same body.
func FuzzPieces(f *testing.F) {
	f.Add(true, []byte("hello"), uint16(3))
	f.Fuzz(func(t *testing.T, http bool, body []byte, cut uint16) {
		protocol, data := RESP, fmt.Appendf(nil, "$%d\r\n%s\r\n", len(body), body)
		if http {
			protocol, data = HTTP, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
		piece := data[:int(cut)%len(data)]
		if got, err := protocol.body(piece); got != nil || err != nil {
			t.Fatalf("%q is complete: %q, %v", piece, got, err)
		}
		if got, err := protocol.body(data); !bytes.Equal(got, body) || err != nil {
			t.Fatalf("%q has the body %q, %v", data, got, err)
		}
	})
}
