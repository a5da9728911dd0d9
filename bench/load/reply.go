package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

var errReply = errors.New("load: bad reply")

// body finds the body of the reply at the beginning of data. It returns nil, nil as long as the reply is not complete. A reply
// that is refused, or followed by bytes that nobody asked for, is an error.
func (p Protocol) body(data []byte) ([]byte, error) {
	begin, length, err := 0, 0, error(nil)
	if p == RESP {
		begin, length, err = bulk(data)
	} else {
		begin, length, err = head(data)
	}
	end := begin + length
	switch {
	case err != nil:
		return nil, err
	case begin == 0:
		return nil, nil
	}
	body, rest := end, ""
	if p == RESP {
		rest = "\r\n"
	}
	switch whole := body + len(rest); {
	case len(data) < whole:
		return nil, nil
	case len(data) > whole:
		return nil, fmt.Errorf("%w: %d bytes follow it", errReply, len(data)-whole)
	case string(data[end:]) != rest:
		return nil, fmt.Errorf("%w: it ends with %q", errReply, data[end:])
	}
	return data[begin:end], nil
}

const maxBody = 64 << 20

// head reads the head of an HTTP reply. begin is where the body begins, or 0 if the head is not complete.
func head(data []byte) (begin, length int, err error) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, 0, nil
	}
	status, lines, _ := bytes.Cut(data[:end+2], []byte("\r\n"))
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return 0, 0, fmt.Errorf("%w: %q", errReply, status)
	}
	length = -1
	for len(lines) > 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		const name = "Content-Length:"
		if len(line) < len(name) || line[0]|0x20 != 'c' || !bytes.EqualFold(line[:len(name)], []byte(name)) {
			continue
		}
		if length >= 0 {
			return 0, 0, fmt.Errorf("%w: two lengths", errReply)
		}
		if length, err = number(bytes.TrimSpace(line[len(name):])); err != nil {
			return 0, 0, err
		}
	}
	if length < 0 {
		return 0, 0, fmt.Errorf("%w: no Content-Length", errReply)
	}
	return end + 4, length, nil
}

// bulk reads the head of a bulk string. begin is where the string begins, or 0 if the head is not complete.
func bulk(data []byte) (begin, length int, err error) {
	end := bytes.Index(data, []byte("\r\n"))
	if end < 0 {
		return 0, 0, nil
	}
	if data[0] != '$' {
		return 0, 0, fmt.Errorf("%w: %q", errReply, data[:end])
	}
	length, err = number(data[1:end])
	return end + 2, length, err
}

func number(digits []byte) (int, error) {
	n, err := strconv.ParseUint(string(digits), 10, 31)
	if err != nil || n > maxBody {
		return 0, fmt.Errorf("%w: length %q", errReply, digits)
	}
	return int(n), nil
}
