package odoo

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// clean turns what only Python takes for JSON into JSON. NaN and the infinities become null. Bytes that are not UTF-8 and escaped
// halves of surrogate pairs become U+FFFD. If there is nothing to change, clean copies nothing; otherwise the result has at most
// twice the size. What is not JSON for another reason stays as it is.
func clean(b []byte) []byte {
	var out []byte
	done := 0 // up to where b is in out
	replace := func(from, to int, by string) {
		if out == nil {
			out = make([]byte, 0, len(b)+len(b)/8)
		}
		out = append(append(out, b[done:from]...), by...)
		done = to
	}
	for i, inText := 0, false; i < len(b); {
		n, by := 1, ""
		switch c := b[i]; {
		case c == '"':
			inText = !inText
		case inText && c == '\\':
			n, by = escape(b[i:])
		case inText && c >= utf8.RuneSelf:
			n, by = text(b[i:])
		case !inText && (c == 'N' || c == 'I' || c == '-'):
			n, by = number(b[i:])
		}
		if by != "" {
			replace(i, i+n, by)
		}
		i += n
	}
	if out == nil {
		return b
	}
	return append(out, b[done:]...)
}

// number is the length of a number that JSON has not, and what stands for it.
func number(b []byte) (n int, by string) {
	for _, name := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(b, []byte(name)) {
			return len(name), "null"
		}
	}
	return 1, ""
}

// text is the length of a character, or of all bytes up to the next one, and what stands for them.
func text(b []byte) (n int, by string) {
	for n < len(b) {
		r, size := utf8.DecodeRune(b[n:])
		if r != utf8.RuneError || size != 1 {
			if n == 0 {
				return size, ""
			}
			break
		}
		n++
	}
	return n, "\uFFFD"
}

// escape is the length of an escaped character, a surrogate pair in one, and what stands for half a pair.
func escape(b []byte) (n int, by string) {
	r, ok := unit(b)
	switch {
	case !ok:
		return min(2, len(b)), ""
	case !utf16.IsSurrogate(r):
		return 6, ""
	}
	if low, ok := unit(b[6:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
		return 12, ""
	}
	return 6, `\ufffd`
}

// unit reads \uXXXX.
func unit(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
