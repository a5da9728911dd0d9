package weaviatetest

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

// findTarget finds the vector that a search by vector looks at: the one asked for, else the only one there is.
func (q *search) findTarget() error {
	var names []string
	switch near, text, hybrid := q.GetNearVector(), q.GetNearText(), q.GetHybridSearch(); {
	case near != nil:
		names = targets(near.GetTargets(), near.GetTargetVectors())
	case text != nil:
		names = targets(text.GetTargets(), text.GetTargetVectors())
	case hybrid != nil:
		names = targets(hybrid.GetTargets(), hybrid.GetTargetVectors())
	default:
		return nil
	}
	var configured []string
	if q.class.VectorConfig != nil {
		configured = q.class.targets()
	}
	if len(names) == 0 {
		if len(configured) > 1 {
			return fmt.Errorf("class %s has multiple vectors, but no target vectors were provided", q.class.Name)
		}
		names = configured
	}
	for _, name := range names {
		if q.class.VectorConfig[name] == nil {
			return fmt.Errorf("class %s does not have named vector %v configured. Available named vectors %v", q.class.Name, name, configured)
		}
	}
	switch len(names) {
	case 0:
	case 1:
		q.target = names[0]
	default:
		return fmt.Errorf("stand-in: several target vectors are not covered")
	}
	return nil
}

func targets(t *pb.Targets, old []string) []string {
	if t != nil {
		return t.GetTargetVectors()
	}
	return old
}

// findVector finds the vector that a search starts from, where one came along.
func (q *search) findVector() error {
	var err error
	if near := q.GetNearVector(); near != nil {
		if q.vector, err = q.nearVector(near); err != nil {
			return err
		}
		if near.Distance != nil && near.Certainty != nil {
			return fmt.Errorf("near_vector: cannot provide distance and certainty")
		}
	}
	if h := q.GetHybridSearch(); h != nil {
		switch {
		case h.GetAlpha() < 0 || h.GetAlpha() > 1:
			return fmt.Errorf("stand-in: an alpha outside 0 to 1 is not covered")
		case h.GetFusionType() == pb.Hybrid_FUSION_TYPE_RANKED, h.GetNearText() != nil, h.GetThreshold() != nil:
			return fmt.Errorf("stand-in: ranked fusion, near_text and a threshold are not covered in hybrid")
		case len(h.GetVectorBytes()) > 0:
			q.vector = floatsOf(h.GetVectorBytes())
		case len(h.GetVector()) > 0:
			q.vector = h.GetVector()
		}
		if h.GetNearVector() != nil {
			if q.vector != nil {
				return fmt.Errorf("cannot combine nearVector and vector in hybrid search")
			}
			q.vector, err = q.nearVector(h.GetNearVector())
		}
	}
	return err
}

func (q *search) nearVector(near *pb.NearVector) ([]float32, error) {
	switch {
	case len(near.GetVectorForTargets()) == 1 && near.GetVectorForTargets()[0].GetName() == q.target:
		return floatsOf(near.GetVectorForTargets()[0].GetVectorBytes()), nil
	case len(near.GetVectorForTargets()) > 0, len(near.GetVectorPerTarget()) > 0:
		return nil, fmt.Errorf("stand-in: several vectors are not covered")
	case len(near.GetVectorBytes()) > 0:
		return floatsOf(near.GetVectorBytes()), nil
	case len(near.GetVector()) > 0:
		return near.GetVector(), nil
	}
	return nil, fmt.Errorf("near_vector: vector is required")
}

// near is a search by a vector, or by a text that a module makes a vector of.
func (q *search) near() ([]hit, error) {
	distance, certainty := q.GetNearVector().GetDistance(), q.GetNearVector().GetCertainty()
	byDistance := q.GetNearVector() != nil && q.GetNearVector().Distance != nil
	if text := q.GetNearText(); text != nil {
		if !q.class.hasModule(q.target) {
			return nil, fmt.Errorf("explorer: get class: vectorize params: could not vectorize input for collection %s "+
				"with search-type nearText. Make sure a vectorizer module is configured for this collection", q.class.Name)
		}
		v, err := q.vectorize(text.GetQuery())
		if err != nil {
			return nil, fmt.Errorf("explorer: get class: concurrentTargetVectorSearch: explorer: get class: vectorize search vector: "+
				"vectorize params: vectorize params: vectorize keywords: %w", err)
		}
		q.vector, distance, certainty, byDistance = v, text.GetDistance(), text.GetCertainty(), text.Distance != nil
	}
	hits, err := q.nearest()
	if err != nil {
		return nil, fmt.Errorf("explorer: get class: concurrentTargetVectorSearch: %w", err)
	}
	hits = slices.DeleteFunc(hits, func(h hit) bool {
		return byDistance && float64(*h.distance) > distance+1e-6 || 1-float64(*h.distance)/2 < certainty
	})
	return q.page(hits), nil
}

// nearest gives every object that has the vector, by cosine distance.
func (q *search) nearest() ([]hit, error) {
	if err := q.checkPage(); err != nil {
		return nil, fmt.Errorf("explorer: get class: vector search: %w", err)
	}
	where := "explorer: get class: vector search: object vector search at index " + indexName(q.class) + ": "
	st, err := q.class.storeFor(q.GetTenant(), false)
	if err != nil {
		return nil, fmt.Errorf("%s%w", where, err)
	}
	where += "shard " + indexName(q.class) + "_standin: "
	q.store = st
	if q.where != nil {
		if q.filter, err = st.compile(q.where); err != nil {
			return nil, fmt.Errorf("%sbuild inverted filter allow list: %w", where, err)
		}
	}
	if want, got := st.dims[q.target], len(q.vector); want != 0 && want != got {
		if q.class.indexType(q.target) == "flat" {
			return nil, fmt.Errorf("%svector search: %d vs %d: vector lengths don't match", where, got, want)
		}
		return nil, fmt.Errorf("%svector search: knn search: distance between entrypoint and query node: %d vs %d: vector lengths don't match", where, want, got)
	}
	var hits []hit
	for _, o := range st.find(q.filter) {
		if w := o.vector(q.target); len(w) > 0 {
			hits = append(hits, hit{stored: o, distance: new(cosineDistance(q.vector, w))})
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

// hybrid is relative score fusion: each half's scores are stretched over 0 to 1, weighted, and added. An alpha of 0,
// which is what a request without one has, is a search by keywords alone.
func (q *search) hybrid() ([]hit, error) {
	h, alpha := q.GetHybridSearch(), float64(q.GetHybridSearch().GetAlpha())
	half := *q
	half.SearchRequest = &pb.SearchRequest{Tenant: q.GetTenant()} // the offset is for what both halves make together
	half.limit = max(hybridDepth, q.limit)
	fused := map[*stored]float32{}
	if alpha < 1 {
		half.maximum = max(q.maximum, half.limit) // this half goes as deep as it may and does not complain
		hits, err := half.keywords(h.GetQuery(), h.GetProperties())
		if err != nil {
			return nil, err
		}
		fuse(fused, page(hits, min(half.limit, q.maximum), 0), 1-alpha, func(h hit) float32 { return h.score })
	}
	if alpha > 0 {
		half.maximum = q.maximum
		if half.vector == nil {
			v, err := q.hybridVector(h.GetQuery())
			if err != nil {
				return nil, err
			}
			half.vector = v
		}
		hits, err := half.nearest()
		if err != nil {
			return nil, err
		}
		fuse(fused, page(hits, half.limit, 0), alpha, func(h hit) float32 { return -*h.distance })
	}
	hits := make([]hit, 0, len(fused))
	for o, s := range fused {
		hits = append(hits, hit{stored: o, score: s})
	}
	slices.SortFunc(hits, byScore)
	return q.page(hits), nil
}

func (q *search) hybridVector(query string) ([]float32, error) {
	if !q.class.hasModule(q.target) {
		return nil, fmt.Errorf("VectorFromInput was called without vectorizer on class %s for input %s", q.class.Name, query)
	}
	return q.vectorize([]string{query})
}

func fuse(into map[*stored]float32, hits []hit, weight float64, value func(hit) float32) {
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
