package weaviatetest

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

func lowerAll(s string) string { return strings.ToLower(s) }

// stored is an object in a store. It never changes: an update puts another in its place.
type stored struct {
	Object
	// seq is the place in the order objects came, which is the order of whatever is not sorted otherwise. A replaced
	// object keeps its place unless its vector changed.
	seq uint64
}

// store holds the objects of one class or tenant, unlocked: Server.mu guards it.
type store struct {
	class   *class
	objects map[string]*stored
	text    map[string]*textIndex // by property
	dims    map[string]int        // vector length by target, fixed by the first vector
	next    uint64
	cold    bool // a tenant that is not active
}

// textIndex is the inverted index of one text property.
type textIndex struct {
	postings map[string]set
	lengths  map[*stored]int
	total    int // the sum of lengths
}

// set holds objects, each with how often a token occurs in it.
type set map[*stored]int

func newStore(c *class) *store {
	st := &store{class: c, objects: map[string]*stored{}, text: map[string]*textIndex{}, dims: map[string]int{}}
	for _, p := range c.Properties {
		if p.Tokenization != "" {
			st.text[p.Name] = &textIndex{postings: map[string]set{}, lengths: map[*stored]int{}}
		}
	}
	return st
}

// put stores a checked object in place of the one with its id.
func (st *store) put(o *Object) error {
	for target, v := range vectors(o) {
		if want := st.dims[target]; want != 0 && want != len(v) {
			where := "Validate vector index for " + o.ID
			if target != "" {
				where = "Validate vector index " + target + " for target vector " + o.ID
			}
			return fmt.Errorf("%s: new node has a vector with length %d. Existing nodes have vectors with length %d: "+
				"vector dimensions do not match the index dimensions", where, len(v), want)
		}
	}
	for target, v := range vectors(o) {
		st.dims[target] = len(v)
	}
	s := &stored{Object: *o, seq: st.next}
	st.next++
	if old := st.objects[o.ID]; old != nil {
		if slices.Equal(old.Vector, o.Vector) && maps.EqualFunc(old.Vectors, o.Vectors, slices.Equal[[]float32]) {
			s.seq = old.seq
		}
		st.remove(o.ID)
	}
	st.objects[o.ID] = s
	for name, index := range st.text {
		if v, ok := s.Properties[name]; ok {
			index.add(s, st.class.property(name), v)
		}
	}
	return nil
}

func vectors(o *Object) iter.Seq2[string, []float32] {
	return func(yield func(string, []float32) bool) {
		if len(o.Vector) > 0 && !yield("", o.Vector) {
			return
		}
		for name, v := range o.Vectors {
			if len(v) > 0 && !yield(name, v) {
				return
			}
		}
	}
}

func (st *store) remove(id string) {
	o := st.objects[id]
	if o == nil {
		return
	}
	delete(st.objects, id)
	for name, index := range st.text {
		if v, ok := o.Properties[name]; ok {
			index.remove(o, st.class.property(name), v)
		}
	}
}

// valueTokens are the tokens of a stored text or list of texts.
func (p *property) valueTokens(v any) []string {
	switch v := v.(type) {
	case string:
		return p.tokens(v)
	case []any:
		var all []string
		for _, e := range v {
			all = append(all, p.tokens(e.(string))...)
		}
		return all
	}
	return nil
}

func (x *textIndex) add(o *stored, p *property, v any) {
	tokens := p.valueTokens(v)
	for _, t := range tokens {
		if x.postings[t] == nil {
			x.postings[t] = set{}
		}
		x.postings[t][o]++
	}
	x.lengths[o] = len(tokens)
	x.total += len(tokens)
}

func (x *textIndex) remove(o *stored, p *property, v any) {
	for _, t := range p.valueTokens(v) {
		delete(x.postings[t], o)
		if len(x.postings[t]) == 0 {
			delete(x.postings, t)
		}
	}
	x.total -= x.lengths[o]
	delete(x.lengths, o)
}

// find gives the objects that pass f, in the order they came; all objects come in the order of their ids.
func (st *store) find(f *filter) []*stored {
	var found []*stored
	switch {
	case f == nil:
		found = slices.Collect(maps.Values(st.objects))
		slices.SortFunc(found, func(a, b *stored) int { return cmp.Compare(a.ID, b.ID) })
		return found
	case f.from == nil:
		for _, o := range st.objects {
			if f.match(o) {
				found = append(found, o)
			}
		}
	default:
		seen := map[*stored]bool{}
		for _, from := range f.from {
			for o := range from {
				if !seen[o] && f.match(o) {
					found = append(found, o)
				}
				seen[o] = true
			}
		}
	}
	slices.SortFunc(found, func(a, b *stored) int { return cmp.Compare(a.seq, b.seq) })
	return found
}
