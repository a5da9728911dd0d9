package weaviatetest

import (
	"cmp"
	"fmt"
	"slices"
)

// hit is one result of a search.
type hit struct {
	*stored
	score    float32
	distance *float32 // nil unless the search was by vector
}

// The most that a query may ask for, what it gets without a limit, and how deep both halves of a hybrid search go.
const (
	maxResults   = 10000
	defaultLimit = 100
	hybridDepth  = 100
)

// search answers one Get of a class: args are its arguments as plain values.
func (st *store) search(args map[string]any) ([]hit, error) {
	index := indexName(st.class)
	kw, near, hy := object(args["bm25"]), object(args["nearVector"]), object(args["hybrid"])
	where := "explorer: list class: search: "
	if kw != nil || near != nil || hy != nil {
		where = "explorer: get class: vector search: "
	}
	late := func(err error) error {
		return fmt.Errorf("%sobject search at index %s: local shard object search %s_standin: %w", where, index, index, err)
	}
	switch {
	case kw != nil && near != nil:
		return nil, fmt.Errorf("conflict: both near<Media> and keyword-based (bm25) arguments present, choose one")
	case kw != nil && args["sort"] != nil:
		return nil, fmt.Errorf("bm25 search is not compatible with sort")
	case hy != nil && args["sort"] != nil:
		return nil, fmt.Errorf("hybrid search is not compatible with sort")
	}
	var f *filter
	if w := object(args["where"]); w != nil {
		var err error
		if f, err = st.where(w, late); err != nil {
			return nil, err
		}
	}
	limit, offset := number(args, "limit", defaultLimit), number(args, "offset", 0)
	switch {
	case limit < 0:
		limit = defaultLimit
	case limit == 0:
		return nil, fmt.Errorf("%sinvalid pagination params: invalid default limit: 0", where)
	case limit+offset > maxResults:
		return nil, fmt.Errorf("%sinvalid pagination params: query maximum results exceeded", where)
	}

	var hits []hit
	var err error
	switch {
	case kw != nil:
		hits, err = st.bm25(kw, f)
	case near != nil:
		hits, err = st.nearVector(near, f)
	case hy != nil:
		hits, err = st.hybrid(hy, f)
	default:
		found := st.find(f)
		if f != nil {
			found, err = st.throughIndex(found, list(args["sort"]), limit+offset)
		}
		for _, o := range found {
			hits = append(hits, hit{stored: o})
		}
		if err != nil {
			err = late(err)
		}
	}
	if err != nil {
		return nil, err
	}
	if near != nil { // a sort reorders what the search found, and only that
		hits = page(hits, limit, offset)
		limit, offset = defaultLimit, 0
	}
	if err := st.sort(hits, list(args["sort"])); err != nil {
		return nil, err
	}
	return page(hits, limit, offset), nil
}

func page(hits []hit, limit, offset int) []hit {
	hits = hits[min(offset, len(hits)):]
	return hits[:min(limit, len(hits))]
}

// sort is stable, so equal keys keep the order the objects came in, whichever the direction. Null is the smallest.
func (st *store) sort(hits []hit, criteria []any) error {
	type criterion struct {
		key  func(*stored) any
		sign int
	}
	var by []criterion
	for i, c := range criteria {
		c := object(c)
		path := list(c["path"])
		if len(path) != 1 {
			return fmt.Errorf("stand-in: sort by a path of %d is not covered", len(path))
		}
		sign := 1
		if c["order"] == "desc" {
			sign = -1
		}
		var key func(*stored) any
		switch name := path[0].(string); name {
		case "_id", "id":
			key = func(o *stored) any { return o.ID }
		case "_creationTimeUnix":
			key = func(o *stored) any { return float64(o.Created) }
		case "_lastUpdateTimeUnix":
			key = func(o *stored) any { return float64(o.Updated) }
		default:
			p := st.class.property(name)
			if p == nil {
				return fmt.Errorf("invalid 'sort' parameter: sort parameter at position %d: %w", i, noSuchProperty(name, st.class.Name))
			}
			key = func(o *stored) any { v, _ := comparable(p, o.Properties[p.Name]); return v }
		}
		by = append(by, criterion{key, sign})
	}
	if len(by) == 0 {
		return nil
	}
	slices.SortStableFunc(hits, func(a, b hit) int {
		for _, c := range by {
			if d := compareValues(c.key(a.stored), c.key(b.stored)); d != 0 {
				return d * c.sign
			}
		}
		return 0
	})
	return nil
}

// throughIndex mimics the real server's choice to read a sorted page off the index of the property it is sorted by.
// Objects without that property are then not found at all, however large the limit; else they come as nulls. So a
// page that is not full does not mean that there is no more. The costs are those of a server that has not flushed to
// disk yet; afterwards the choice depends on how many objects the class has, too.
func (st *store) throughIndex(found []*stored, criteria []any, limit int) ([]*stored, error) {
	if len(criteria) != 1 {
		return found, nil
	}
	c := object(criteria[0])
	path := list(c["path"])
	if len(path) != 1 {
		return found, nil // sort refuses it
	}
	name, _ := path[0].(string)
	p := st.class.property(name)
	if p == nil || !*p.IndexFilterable || !slices.Contains([]string{"date", "int", "number"}, p.kind()) {
		return found, nil
	}
	matches := len(found)
	without, with := 590*min(limit, matches)+1700*max(matches-limit, 0), 100*limit
	if c["order"] == "desc" {
		with = 2*with + 200
	}
	if with > without {
		return found, nil
	}
	if c["order"] == nil {
		return nil, fmt.Errorf("sort doc ids: unsupported sort order ")
	}
	return slices.DeleteFunc(found, func(o *stored) bool { return o.Properties[name] == nil }), nil
}

func byScore(a, b hit) int {
	return cmp.Or(-cmp.Compare(a.score, b.score), cmp.Compare(a.ID, b.ID))
}

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }

func number(args map[string]any, name string, otherwise int) int {
	if n, ok := args[name].(int64); ok {
		return int(n)
	}
	return otherwise
}

func toFloat(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}

func floats(v any) []float32 {
	var out []float32
	for _, e := range list(v) {
		out = append(out, float32(toFloat(e)))
	}
	return out
}
