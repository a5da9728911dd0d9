package weaviatetest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// target finds the vector that a search means.
func (st *store) target(args map[string]any) (string, error) {
	names := list(args["targetVectors"])
	switch {
	case len(names) > 1:
		return "", fmt.Errorf("stand-in: several target vectors are not covered")
	case len(names) == 1:
		return names[0].(string), nil
	case len(st.class.VectorConfig) > 1:
		return "", fmt.Errorf("multiple vectorizers configuration found, please specify target vector name")
	}
	for name := range st.class.VectorConfig {
		return name, nil
	}
	return "", nil
}

func (st *store) nearVector(args map[string]any, f *filter) ([]hit, error) {
	if args["vector"] == nil {
		return nil, fmt.Errorf("failed to extract nearVector params: vector or vectorPerTarget is required field")
	}
	target, err := st.target(args)
	if err != nil {
		return nil, fmt.Errorf("explorer: get class: validate target vector: %w", err)
	}
	hits, err := st.nearest(floats(args["vector"]), target, f)
	if err != nil {
		return nil, fmt.Errorf("explorer: get class: concurrentTargetVectorSearch): explorer: get class: vector search: "+
			"object vector search at index %s: shard %[1]s_standin: %w", indexName(st.class), err)
	}
	if limit, ok := args["distance"]; ok {
		hits = slices.DeleteFunc(hits, func(h hit) bool { return *h.distance > float32(toFloat(limit)) })
	}
	return hits, nil
}

// nearest gives every object that has the vector, by cosine distance.
func (st *store) nearest(v []float32, target string, f *filter) ([]hit, error) {
	if target != "" && st.class.VectorConfig[target] == nil {
		return nil, fmt.Errorf("index for target vector %q not found", target)
	}
	if want := st.dims[target]; want != 0 && want != len(v) {
		return nil, fmt.Errorf("vector search: knn search: distance between entrypoint and query node: %d vs %d: vector lengths don't match", want, len(v))
	}
	var hits []hit
	for _, o := range st.find(f) {
		if w := o.vector(target); len(w) > 0 {
			hits = append(hits, hit{stored: o, distance: new(cosineDistance(v, w))})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(*a.distance, *b.distance), cmp.Compare(a.seq, b.seq))
	})
	return hits, nil
}

func cosineDistance(a, b []float32) float32 {
	var dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 1
	}
	return float32(max(0, 1-dot/math.Sqrt(aa*bb)))
}

// hybrid is relative score fusion: each half's scores are stretched over 0 to 1, weighted, and added.
func (st *store) hybrid(args map[string]any, f *filter) ([]hit, error) {
	if t := args["fusionType"]; t != nil && t != "relativeScoreFusion" {
		return nil, fmt.Errorf("stand-in: fusionType %v is not covered", t)
	}
	alpha := 0.75
	if a, ok := args["alpha"]; ok {
		alpha = toFloat(a)
	}
	if alpha < 0 || alpha > 1 {
		return nil, fmt.Errorf("failed to extract hybrid params: alpha should be between 0.0 and 1.0")
	}
	target, err := st.target(args)
	if err != nil {
		return nil, err
	}
	query, _ := args["query"].(string)
	fused := map[*stored]float32{}
	if alpha < 1 && query != "" {
		hits, err := st.bm25(map[string]any{"query": query, "properties": args["properties"]}, f)
		if err != nil {
			return nil, err
		}
		fuse(fused, hits, 1-alpha, func(h hit) float32 { return h.score })
	}
	if alpha > 0 {
		if args["vector"] == nil {
			return nil, fmt.Errorf("VectorFromInput was called without vectorizer on class %s for input %s", st.class.Name, query)
		}
		hits, err := st.nearest(floats(args["vector"]), target, f)
		if err != nil {
			return nil, fmt.Errorf("explorer: get class: vector search: object vector search at index %s: "+
				"shard %[1]s_standin: %w", indexName(st.class), err)
		}
		fuse(fused, hits, alpha, func(h hit) float32 { return -*h.distance })
	}
	hits := make([]hit, 0, len(fused))
	for o, s := range fused {
		hits = append(hits, hit{stored: o, score: s})
	}
	slices.SortFunc(hits, byScore)
	return hits, nil
}

func fuse(into map[*stored]float32, hits []hit, weight float64, value func(hit) float32) {
	hits = page(hits, hybridDepth, 0)
	if len(hits) == 0 {
		return
	}
	top, bottom := value(hits[0]), value(hits[len(hits)-1])
	for _, h := range hits {
		score := float32(weight)
		if top != bottom {
			score *= (value(h) - bottom) / (top - bottom)
		}
		into[h.stored] += score
	}
}
