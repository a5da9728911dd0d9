package weaviate

import (
	"errors"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"hearth/pool"
)

// reply is the answer to a search: SearchReply of Weaviate's protocol, as far as questions need it. It is read without the generated
// code, which makes some thirty objects of each row, and several times the bytes of the answer.
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
	integer int64  // an int; of a boolean 0 if it is false
	number  float64
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

// The memory of one row and of one property, in bytes, and what a growing list takes for one vector.
const rowBytes, propertyBytes, vectorsGrow = 88, 56, 160

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
type replyReader struct {
	taken, most int64
	properties  int // of the last row: most rows have as many as the one before
}

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
	n := m.count(results)
	if err := r.take(n, rowBytes); err != nil {
		return nil, err
	}
	rows := make([]row, 0, n)
	var f field
	for f.next(&m) {
		if f.is(results, protowire.BytesType) {
			rows = append(rows, row{})
			f.err = r.row(&rows[len(rows)-1], f.inner)
		}
	}
	return rows, f.err
}

func (r *replyReader) row(to *row, m message) error {
	const properties, metadata = 1, 2
	var f field
	for f.next(&m) {
		switch {
		case f.is(properties, protowire.BytesType):
			f.err = r.result(to, f.inner)
		case f.is(metadata, protowire.BytesType):
			f.err = r.metadata(to, f.inner)
		}
	}
	return f.err
}

func (r *replyReader) result(to *row, m message) error {
	const nonReferences = 11
	var f field
	for f.next(&m) {
		if f.is(nonReferences, protowire.BytesType) {
			f.err = r.readProperties(to, f.inner)
		}
	}
	return f.err
}

func (r *replyReader) readProperties(to *row, m message) error {
	const fields = 1
	if err := r.grow(to, r.properties); err != nil {
		return err
	}
	var f field
	for f.next(&m) {
		if !f.is(fields, protowire.BytesType) {
			continue
		}
		if len(to.properties) == cap(to.properties) {
			if err := r.grow(to, 1+m.count(fields)); err != nil {
				return err
			}
		}
		to.properties = append(to.properties, property{})
		f.err = to.properties[len(to.properties)-1].read(f.inner)
	}
	r.properties = len(to.properties)
	return f.err
}

// grow makes room for n more properties of a row. It counts all of the new memory: the old memory may still be there.
func (r *replyReader) grow(to *row, n int) error {
	if err := r.take(len(to.properties)+n, propertyBytes); err != nil {
		return err
	}
	to.properties = append(make([]property, 0, len(to.properties)+n), to.properties...)
	return nil
}

func (p *property) read(m message) error {
	const key, value = 1, 2
	var f field
	for f.next(&m) {
		switch {
		case f.is(key, protowire.BytesType):
			p.name = f.text()
		case f.is(value, protowire.BytesType):
			f.err = p.value.read(f.inner)
		}
	}
	return f.err
}

func (v *value) read(m message) error {
	var f field
	for f.next(&m) {
		switch kind := valueKind(f.number); kind {
		case numberKind:
			if f.kind == protowire.Fixed64Type {
				*v = value{kind: kind, number: math.Float64frombits(f.bits)}
			}
		case intKind, boolKind, nullKind:
			if f.kind == protowire.VarintType {
				*v = value{kind: kind, integer: int64(f.bits)} //nolint:gosec // negative numbers come as large ones
			}
		case textKind, stringKind, dateKind, uuidKind:
			if f.kind == protowire.BytesType {
				*v = value{kind: kind, text: f.text()}
			}
		case objectKind, listKind, geoKind, blobKind, phoneKind:
			if f.kind == protowire.BytesType {
				*v = value{kind: kind}
			}
		default: // it is none of the kinds
		}
	}
	return f.err
}

func (r *replyReader) metadata(to *row, m message) error {
	const id, created, updated, distance, score, vectorBytes, vectors = 1, 3, 5, 7, 11, 19, 23
	var f field
	for f.next(&m) {
		switch {
		case f.is(id, protowire.BytesType):
			to.id = f.text()
		case f.is(created, protowire.VarintType):
			to.created = int64(f.bits) //nolint:gosec // negative numbers come as large ones
		case f.is(updated, protowire.VarintType):
			to.updated = int64(f.bits) //nolint:gosec // negative numbers come as large ones
		case f.is(distance, protowire.Fixed32Type):
			to.distance = math.Float32frombits(uint32(f.bits)) //nolint:gosec // it has 32 bits
		case f.is(score, protowire.Fixed32Type):
			to.score = math.Float32frombits(uint32(f.bits)) //nolint:gosec // it has 32 bits
		case f.is(vectorBytes, protowire.BytesType):
			if f.err = r.take(1, vectorsGrow); f.err == nil {
				to.vectors = append(to.vectors, storedVector{littleEndian: f.inner.text})
			}
		case f.is(vectors, protowire.BytesType):
			var v storedVector
			if f.err = errors.Join(v.read(f.inner), r.take(1, vectorsGrow)); f.err == nil {
				to.vectors = append(to.vectors, v)
			}
		}
	}
	return f.err
}

func (v *storedVector) read(m message) error {
	const name, bytes = 1, 3
	var f field
	for f.next(&m) {
		switch {
		case f.is(name, protowire.BytesType):
			v.name = f.text()
		case f.is(bytes, protowire.BytesType):
			v.littleEndian = f.inner.text
		}
	}
	return f.err
}

// message is the unread rest of a protobuf message, twice: as bytes, which protowire reads, and as a string, which rows keep parts of
// without copying them.
type message struct {
	bytes []byte
	text  string
}

// count is how many fields the message has of a number, up to the first that cannot be read.
func (m message) count(number protowire.Number) (n int) {
	var f field
	for f.next(&m) {
		if f.number == number {
			n++
		}
	}
	return n
}

// field is a field of a message, or the error that ends the reading.
type field struct {
	number protowire.Number
	kind   protowire.Type
	bits   uint64  // of a number
	inner  message // of a text or a message
	err    error
}

func (f *field) is(number protowire.Number, kind protowire.Type) bool {
	return f.number == number && f.kind == kind
}

// next reads the next field of a message. It returns false at the end of the message, and if there is an error.
func (f *field) next(m *message) bool {
	if f.err != nil || len(m.bytes) == 0 {
		return false
	}
	tag, size := 0, 0
	f.number, f.kind, tag = protowire.ConsumeTag(m.bytes)
	if tag < 0 {
		f.err = protowire.ParseError(tag)
		return false
	}
	rest := m.bytes[tag:]
	switch f.kind {
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
		size = protowire.ConsumeFieldValue(f.number, f.kind, rest)
	}
	if size < 0 {
		f.err = protowire.ParseError(size)
		return false
	}
	m.bytes, m.text = m.bytes[tag+size:], m.text[tag+size:]
	return true
}

// text returns the text of the field. If it is not UTF-8, text sets err, and that ends the reading.
func (f *field) text() string {
	if !utf8.ValidString(f.inner.text) {
		f.err = errNotUTF8
	}
	return f.inner.text
}
