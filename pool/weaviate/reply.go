package weaviate

import (
	"errors"
	"math"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"hearth/pool"
)

// reply is the answer to a search: SearchReply of Weaviate's protocol, as far as questions need it. It is read without the generated
// code, which makes some twenty objects of each row, and several times the bytes of the answer.
type reply struct{ rows []row }

// row is one object of an answer. Its texts are parts of the whole answer: whatever outlives the answer needs copies of them.
type row struct {
	id               string
	created, updated int64 // milliseconds since 1970
	distance, score  float32
	properties       []property
	vectors          []storedVector
}

type property struct {
	name string
	value
}

// value is the value of a property. Only the field of its kind is set.
type value struct {
	kind    valueKind
	text    string // a text, a date or a UUID
	integer int64
	number  float64
	truth   bool
}

// valueKind is the type of a value.
type valueKind protowire.Number

// The kinds are the numbers of their fields in Weaviate's protocol.
const (
	noKind     valueKind = 0
	numberKind valueKind = 1
	stringKind valueKind = 2 // a text of old servers
	boolKind   valueKind = 3
	objectKind valueKind = 4
	listKind   valueKind = 5
	dateKind   valueKind = 6
	uuidKind   valueKind = 7
	intKind    valueKind = 8
	geoKind    valueKind = 9
	blobKind   valueKind = 10
	phoneKind  valueKind = 11
	nullKind   valueKind = 12
	textKind   valueKind = 13
)

// storedVector is a vector of an object. The name of the only one is empty.
type storedVector struct{ name, littleEndian string }

// The memory of one row and of one property, in bytes.
const rowBytes, propertyBytes = 88, 64

// errNotUTF8 occurs when a text of an answer is not UTF-8.
var errNotUTF8 = errors.New("a text of the answer is not UTF-8")

// readReply reads an answer, unless that takes more than so many bytes of memory.
func readReply(b []byte, most int64) ([]row, error) {
	r := replyReader{most: most}
	if err := r.take(len(b), 1); err != nil {
		return nil, err
	}
	return r.rows(message{b, string(b)})
}

// replyReader counts the memory that the rows of an answer take.
type replyReader struct{ taken, most int64 }

// take counts n things of a size. An answer of many small things takes far more memory than it has bytes: take refuses that before
// the memory is allocated.
func (r *replyReader) take(n, size int) error {
	if r.taken += int64(n) * int64(size); r.taken > r.most {
		return &pool.TooLargeError{Bytes: r.taken / mostGrowth, Most: r.most / mostGrowth}
	}
	return nil
}

func (r *replyReader) rows(m message) ([]row, error) {
	const results = 2
	n, err := m.count(results)
	if err != nil {
		return nil, err
	}
	if err := r.take(n, rowBytes); err != nil {
		return nil, err
	}
	rows := make([]row, 0, n)
	err = m.each(func(f field) error {
		if !f.is(results, protowire.BytesType) {
			return nil
		}
		rows = append(rows, row{})
		return r.row(&rows[len(rows)-1], f.inner)
	})
	return rows, err
}

func (r *replyReader) row(to *row, m message) error {
	const properties, metadata = 1, 2
	return m.each(func(f field) error {
		switch {
		case f.is(properties, protowire.BytesType):
			return f.inner.each(func(f field) error {
				const nonReferences = 11
				if !f.is(nonReferences, protowire.BytesType) {
					return nil
				}
				return r.properties(to, f.inner)
			})
		case f.is(metadata, protowire.BytesType):
			return r.metadata(to, f.inner)
		}
		return nil
	})
}

func (r *replyReader) properties(to *row, m message) error {
	const fields = 1
	n, err := m.count(fields)
	if err != nil {
		return err
	}
	if err := r.take(n, propertyBytes); err != nil {
		return err
	}
	to.properties = append(make([]property, 0, len(to.properties)+n), to.properties...)
	return m.each(func(f field) error {
		if !f.is(fields, protowire.BytesType) {
			return nil
		}
		p, err := readProperty(f.inner)
		to.properties = append(to.properties, p)
		return err
	})
}

func readProperty(m message) (p property, err error) {
	const key, value = 1, 2
	err = m.each(func(f field) (err error) {
		switch {
		case f.is(key, protowire.BytesType):
			p.name, err = f.text()
		case f.is(value, protowire.BytesType):
			err = f.inner.each(p.value.set)
		}
		return err
	})
	return p, err
}

// set sets the value to what a field of it says.
func (v *value) set(f field) (err error) {
	kind := valueKind(f.number)
	switch {
	case kind == numberKind && f.kind == protowire.Fixed64Type:
		*v = value{kind: kind, number: math.Float64frombits(f.bits)}
	case kind == intKind && f.kind == protowire.VarintType:
		*v = value{kind: kind, integer: int64(f.bits)} //nolint:gosec // negative numbers come as large ones
	case (kind == boolKind || kind == nullKind) && f.kind == protowire.VarintType:
		*v = value{kind: kind, truth: f.bits != 0}
	case f.kind != protowire.BytesType:
	case slices.Contains([]valueKind{textKind, stringKind, dateKind, uuidKind}, kind):
		*v = value{kind: kind}
		v.text, err = f.text()
	case slices.Contains([]valueKind{objectKind, listKind, geoKind, blobKind, phoneKind}, kind):
		*v = value{kind: kind}
	}
	return err
}

func (r *replyReader) metadata(to *row, m message) error {
	const id, created, updated, distance, score, vectorBytes, vectors = 1, 3, 5, 7, 11, 19, 23
	return m.each(func(f field) (err error) {
		switch {
		case f.is(id, protowire.BytesType):
			to.id, err = f.text()
		case f.is(created, protowire.VarintType):
			to.created = int64(f.bits) //nolint:gosec // negative numbers come as large ones
		case f.is(updated, protowire.VarintType):
			to.updated = int64(f.bits) //nolint:gosec // negative numbers come as large ones
		case f.is(distance, protowire.Fixed32Type):
			to.distance = math.Float32frombits(uint32(f.bits)) //nolint:gosec // it has 32 bits
		case f.is(score, protowire.Fixed32Type):
			to.score = math.Float32frombits(uint32(f.bits)) //nolint:gosec // it has 32 bits
		case f.is(vectorBytes, protowire.BytesType):
			return r.vector(to, storedVector{littleEndian: f.inner.text})
		case f.is(vectors, protowire.BytesType):
			v, err := readVector(f.inner)
			if err != nil {
				return err
			}
			return r.vector(to, v)
		}
		return err
	})
}

// vector adds a vector to a row. A growing list takes up to three times its memory.
func (r *replyReader) vector(to *row, v storedVector) error {
	to.vectors = append(to.vectors, v)
	return r.take(3, propertyBytes)
}

func readVector(m message) (v storedVector, err error) {
	const name, bytes = 1, 3
	err = m.each(func(f field) (err error) {
		switch {
		case f.is(name, protowire.BytesType):
			v.name, err = f.text()
		case f.is(bytes, protowire.BytesType):
			v.littleEndian = f.inner.text
		}
		return err
	})
	return v, err
}

// message is a message of protocol buffers: its bytes, and the same bytes as a part of the answer's text.
type message struct {
	bytes []byte
	text  string
}

// field is a field of a message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	bits   uint64  // of a number
	inner  message // of a text or a message
}

func (f field) is(number protowire.Number, kind protowire.Type) bool {
	return f.number == number && f.kind == kind
}

func (f field) text() (string, error) {
	if !utf8.ValidString(f.inner.text) {
		return "", errNotUTF8
	}
	return f.inner.text, nil
}

// each calls do with every field of the message, in order, until do returns an error.
func (m message) each(do func(field) error) error {
	for len(m.bytes) > 0 {
		f, size := m.first()
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := do(f); err != nil {
			return err
		}
		m.bytes, m.text = m.bytes[size:], m.text[size:]
	}
	return nil
}

// count is how many fields of the message have the number.
func (m message) count(number protowire.Number) (n int, err error) {
	err = m.each(func(f field) error {
		if f.is(number, protowire.BytesType) {
			n++
		}
		return nil
	})
	return n, err
}

// first is the first field of the message, and how many bytes it has; negative: it cannot be read.
func (m message) first() (f field, size int) {
	number, kind, tag := protowire.ConsumeTag(m.bytes)
	if tag < 0 {
		return f, tag
	}
	f = field{number: number, kind: kind}
	rest := m.bytes[tag:]
	switch kind {
	case protowire.VarintType:
		f.bits, size = protowire.ConsumeVarint(rest)
	case protowire.Fixed64Type:
		f.bits, size = protowire.ConsumeFixed64(rest)
	case protowire.Fixed32Type:
		var bits uint32
		bits, size = protowire.ConsumeFixed32(rest)
		f.bits = uint64(bits)
	case protowire.BytesType:
		if f.inner.bytes, size = protowire.ConsumeBytes(rest); size >= 0 {
			end := tag + size
			f.inner.text = m.text[end-len(f.inner.bytes) : end]
		}
	default:
		size = protowire.ConsumeFieldValue(number, kind, rest)
	}
	if size < 0 {
		return f, size
	}
	return f, tag + size
}
