package weaviatetest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// searched is a property that a keyword search looks into.
type searched struct {
	*property
	*textIndex
	boost float64
}

// keywords is a search by words, before it is cut to a page.
func (q *search) keywords(query string, names []string) ([]hit, error) {
	if err := q.checkPage(); err != nil {
		return nil, err
	}
	if err := q.open(); err != nil {
		return nil, err
	}
	return q.store.bm25(query, names, q.filter)
}

// bm25 sums over properties, each with its own average length, and over the query's words, a repeated word counting
// twice. Document frequencies are those of all objects, whatever the filter.
func (st *store) bm25(query string, names []string, f *filter) ([]hit, error) {
	const k1, b = 1.2, 0.75
	properties, err := st.searched(names)
	if err != nil {
		return nil, err
	}
	scores := map[*stored]float64{}
	for _, p := range properties {
		average := float64(p.total) / float64(max(len(p.lengths), 1))
		for _, t := range p.queryTokens(query) {
			n := frequency(t, p.Tokenization, properties)
			idf := math.Log(1 + (float64(len(st.objects))-n+0.5)/(n+0.5))
			for o, times := range p.postings[t] {
				if f != nil && !f.match(o) {
					continue
				}
				tf := float64(times)
				scores[o] += p.boost * idf * tf / (tf + k1*(1-b+b*float64(p.lengths[o])/average))
			}
		}
	}
	hits := make([]hit, 0, len(scores))
	for o, s := range scores {
		hits = append(hits, hit{stored: o, score: float32(s)})
	}
	slices.SortFunc(hits, byScore)
	return hits, nil
}

// frequency tells in how many objects a word is: the average, rounded down, over the properties of one tokenization
// that have it at all.
func frequency(word, tokenization string, properties []searched) float64 {
	sum, having := 0, 0
	for _, p := range properties {
		if n := len(p.postings[word]); n > 0 && p.Tokenization == tokenization {
			sum, having = sum+n, having+1
		}
	}
	return float64(sum / max(having, 1))
}

// searched reads a list of properties, which without any means all that can be searched.
func (st *store) searched(names []string) ([]searched, error) {
	if len(names) == 0 {
		for _, p := range st.class.Properties {
			if st.text[p.Name] != nil && *p.IndexSearchable {
				names = append(names, p.Name)
			}
		}
	}
	var out []searched
	for _, name := range names {
		name, boost, err := boosted(lowerFirst(name))
		if err != nil {
			return nil, err
		}
		p := st.class.property(name)
		if p == nil || st.text[name] == nil || !*p.IndexSearchable {
			return nil, missingIndex{fmt.Errorf("Searching by property '%[1]s' requires inverted index. Is `indexSearchable` option of property "+ //nolint:staticcheck // the real server's words
				"'%[1]s' enabled? Set it to `true` or leave empty", name)}
		}
		out = append(out, searched{p, st.text[name], boost})
	}
	return out, nil
}

// boosted splits "content^2".
func boosted(name string) (string, float64, error) {
	name, factor, ok := strings.Cut(name, "^")
	if !ok {
		return name, 1, nil
	}
	boost, err := strconv.ParseFloat(factor, 64)
	if err != nil {
		return "", 0, fmt.Errorf("invalid boost %q", factor)
	}
	return name, boost, nil
}
