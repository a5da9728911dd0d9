package weaviatetest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

// hit is one result of a search.
type hit struct {
	*stored
	score    float32
	distance *float32 // nil unless the search was by vector
}

// What a query gets without a limit, and how deep both halves of a hybrid search go at least.
const (
	defaultLimit = 10
	hybridDepth  = 100
)

// search is a request that the schema finds in order. Whatever it refuses from here on, it refuses while it looks at
// the objects.
type search struct {
	*pb.SearchRequest

	class      *class
	store      *store // nil until it is opened
	where      *clause
	filter     *filter // of where, once the store is open
	properties []*property
	target     string // the vector that a vector search looks at
	vector     []float32
	limit      int
	maximum    int // of limit and offset
	vectorize  func(texts []string) ([]float32, error)
}

func (s *Server) searchLocked(req *pb.SearchRequest, header http.Header) ([]*pb.SearchResult, error) {
	user, err := s.user(header)
	if err != nil {
		return nil, fmt.Errorf("extract auth: %w", err)
	}
	name := s.realNameLocked(req.GetCollection())
	if err := user.may("read_data", dataOf(name, req.GetTenant(), "")); err != nil {
		return nil, err
	}
	c := s.classes[name]
	if c == nil {
		return nil, fmt.Errorf("could not find class %s in schema", name)
	}
	q, err := c.parse(req)
	if err != nil {
		return nil, err
	}
	if denied := user.may("read_collections", collectionOf(name)); denied != nil && q.where != nil {
		return nil, refuse(http.StatusForbidden, "invalid 'where' filter: "+q.where.denied(denied.Error()))
	}
	q.maximum = s.cfg.MaxResults
	q.vectorize = func(texts []string) ([]float32, error) { return c.vectorizeQuery(q.target, header, texts) }
	hits, err := q.run()
	if err != nil {
		return nil, err
	}
	results := make([]*pb.SearchResult, len(hits))
	for i, h := range hits {
		results[i] = q.result(h)
	}
	return results, nil
}

// parse checks a request in the order in which the real server does.
func (c *class) parse(req *pb.SearchRequest) (*search, error) {
	q := &search{SearchRequest: req, class: c, limit: cmp.Or(int(req.GetLimit()), defaultLimit)}
	if what := uncovered(req); what != "" {
		return nil, fmt.Errorf("stand-in: %s is not covered", what)
	}
	if err := q.findTarget(); err != nil {
		return nil, fmt.Errorf("extract target vectors: %w", err)
	}
	if err := q.findProperties(); err != nil {
		return nil, fmt.Errorf("extract properties request: %w", err)
	}
	if err := q.findVector(); err != nil {
		return nil, err
	}
	if req.GetFilters() != nil {
		var err error
		if q.where, err = c.clause(req.GetFilters()); err != nil {
			return nil, err
		}
		if err := q.where.validate(); err != nil {
			return nil, err
		}
	}
	if len(req.GetSortBy()) > 0 && (req.GetNearText() != nil || req.GetNearVector() != nil || req.GetHybridSearch() != nil || req.GetBm25Search() != nil) {
		return nil, fmt.Errorf("sorting cannot be combined with search")
	}
	if err := c.checkSort(req.GetSortBy()); err != nil {
		return nil, fmt.Errorf("invalid 'sort' parameter: %w", err)
	}
	return q, nil
}

// uncovered names what the stand-in does not know of a request.
func uncovered(req *pb.SearchRequest) string {
	for what, is := range map[string]bool{
		"group_by": req.GetGroupBy() != nil, "autocut": req.GetAutocut() != 0, "after": req.GetAfter() != "",
		"near_object": req.GetNearObject() != nil, "near_image": req.GetNearImage() != nil, "near_audio": req.GetNearAudio() != nil,
		"near_video": req.GetNearVideo() != nil, "near_depth": req.GetNearDepth() != nil, "near_thermal": req.GetNearThermal() != nil,
		"a move of near_text": req.GetNearText().GetMoveTo() != nil || req.GetNearText().GetMoveAway() != nil,
		"near_imu":            req.GetNearImu() != nil, "generative": req.GetGenerative() != nil, "rerank": req.GetRerank() != nil,
		"a reply in the form before 1.27": !req.GetUses_123Api() || !req.GetUses_125Api() || !req.GetUses_127Api(),
	} {
		if is {
			return what
		}
	}
	return ""
}

func (q *search) run() ([]hit, error) {
	near := q.GetNearVector() != nil || q.GetNearText() != nil
	switch {
	case q.GetBm25Search() != nil && near:
		return nil, fmt.Errorf("conflict: both near<Media> and keyword-based (bm25) arguments present, choose one")
	case q.GetBm25Search() != nil:
		if q.GetBm25Search().GetQuery() == "" {
			return nil, fmt.Errorf("keyword search (bm25) must have query set")
		}
		hits, err := q.keywords(q.GetBm25Search().GetQuery(), q.GetBm25Search().GetProperties())
		if err != nil {
			return nil, within("explorer: get class: vector search: ", err)
		}
		return q.page(hits), nil
	case near:
		return q.near()
	case q.GetHybridSearch() != nil:
		return q.hybrid()
	}
	hits, err := q.list()
	if err != nil {
		return nil, within("explorer: list class: search: ", err)
	}
	return hits, nil
}

// missingIndex is an error that the real server shows without what led to it.
type missingIndex struct{ error }

func within(where string, err error) error {
	if _, ok := err.(missingIndex); ok { //nolint:errorlint // wrapped, it is shown as it is
		return err
	}
	return fmt.Errorf("%s%w", where, err)
}

// list is a search without a score.
func (q *search) list() ([]hit, error) {
	if err := q.checkPage(); err != nil {
		return nil, err
	}
	if err := q.open(); err != nil {
		return nil, err
	}
	found := q.store.find(q.filter)
	if q.filter != nil {
		found = q.cutRange(found)
		found = q.throughIndex(found)
	}
	hits := make([]hit, len(found))
	for i, o := range found {
		hits[i] = hit{stored: o}
	}
	q.class.sort(hits, q.GetSortBy())
	return q.page(hits), nil
}

func (q *search) checkPage() error {
	if int(q.GetOffset())+q.limit > q.maximum {
		return fmt.Errorf("invalid pagination params: query maximum results exceeded: the total limit calculated from the provided "+
			"offset '%d' and limit '%d' exceeds the configured value for QUERY_MAXIMUM_RESULTS '%d'. "+
			"If you've supplied a negative offset or limit, this may be an underflow error", q.GetOffset(), q.limit, q.maximum)
	}
	return nil
}

// open finds the store and makes the filter ready.
func (q *search) open() error {
	st, err := q.class.storeFor(q.GetTenant(), false)
	if err != nil {
		return fmt.Errorf("object search at index %s: %w", indexName(q.class), err)
	}
	q.store = st
	if q.where != nil {
		if q.filter, err = st.compile(q.where); err != nil {
			return within(fmt.Sprintf("object search at index %s: local shard object search %[1]s_standin: ", indexName(q.class)), err)
		}
	}
	return nil
}

func (q *search) page(hits []hit) []hit { return page(hits, q.limit, int(q.GetOffset())) }

func page(hits []hit, limit, offset int) []hit {
	hits = hits[min(offset, len(hits)):]
	return hits[:min(limit, len(hits))]
}

func (c *class) checkSort(criteria []*pb.SortBy) error {
	for i, s := range criteria {
		err := c.checkCriterion(s.GetPath())
		if err != nil {
			return fmt.Errorf("sort parameter at position %d: %w", i, err)
		}
	}
	return nil
}

func (c *class) checkCriterion(path []string) error {
	switch {
	case len(path) == 0:
		return fmt.Errorf("path parameter cannot be empty")
	case len(path) > 1:
		return fmt.Errorf("sorting by reference not supported, path must have exactly one argument")
	case internal(path[0]):
		return nil
	}
	p := c.property(path[0])
	switch {
	case p == nil:
		return noSuchProperty(path[0], c.Name)
	case p.base() == "uuid":
		return fmt.Errorf("prop %q is of type uuid/uuid[]: sorting by uuid is currently not supported - "+
			"if you believe it should be, please open a feature request on github.com/weaviate/weaviate", p.Name)
	}
	return nil
}

// sort is stable, so equal keys keep the order the objects came in, whichever the direction. Null is the smallest.
func (c *class) sort(hits []hit, criteria []*pb.SortBy) {
	if len(criteria) == 0 {
		return
	}
	slices.SortStableFunc(hits, func(a, b hit) int {
		for _, s := range criteria {
			d := compareValues(c.key(s.GetPath()[0], a.stored), c.key(s.GetPath()[0], b.stored))
			if d != 0 && !s.GetAscending() {
				d = -d
			}
			if d != 0 {
				return d
			}
		}
		return 0
	})
}

// key is what an object is sorted by.
func (c *class) key(name string, o *stored) any {
	switch name {
	case "_id", "id":
		return o.ID
	case "_creationTimeUnix":
		return float64(o.Created)
	case "_lastUpdateTimeUnix":
		return float64(o.Updated)
	}
	p := c.property(name)
	return sortKey(p, o.Properties[p.Name])
}

// throughIndex mimics the real server's choice to read a sorted page off the index of the property it is sorted by.
// Objects without that property are then not found at all, however large the limit; else they come as nulls. So a
// page that is not full does not mean that there is no more. The costs are those of a server that has not flushed to
// disk yet; afterwards the choice depends on how many objects the class has, too.
func (q *search) throughIndex(found []*stored) []*stored {
	if len(q.GetSortBy()) != 1 {
		return found
	}
	by := q.GetSortBy()[0]
	p := q.class.property(by.GetPath()[0])
	if p == nil || !*p.IndexFilterable || !slices.Contains([]string{"date", "int", "number"}, p.kind()) {
		return found
	}
	limit, matches := q.limit+int(q.GetOffset()), len(found)
	without, with := 590*min(limit, matches)+1700*max(matches-limit, 0), 100*limit
	if !by.GetAscending() {
		with = 2*with + 200
	}
	if with > without {
		return found
	}
	return slices.DeleteFunc(found, func(o *stored) bool { return o.Properties[p.Name] == nil })
}

// cutRange mimics that a filter which is one comparison alone is read in the order of the values compared, and only
// until there are as many objects as the page and all before it have: then it is sorted, too late.
func (q *search) cutRange(found []*stored) []*stored {
	f, enough := q.filter, q.limit+int(q.GetOffset())
	if f.rows == nil || len(found) <= enough {
		return found
	}
	keys := map[*stored]any{}
	for _, o := range found {
		keys[o] = f.rows(o)
	}
	byRow := slices.Clone(found)
	slices.SortStableFunc(byRow, func(a, b *stored) int { return compareValues(keys[a], keys[b]) })
	n := enough
	for n < len(byRow) && compareValues(keys[byRow[n-1]], keys[byRow[n]]) == 0 {
		n++
	}
	kept := map[*stored]bool{}
	for _, o := range byRow[:n] {
		kept[o] = true
	}
	return slices.DeleteFunc(found, func(o *stored) bool { return !kept[o] })
}

func byScore(a, b hit) int {
	return cmp.Or(-cmp.Compare(a.score, b.score), cmp.Compare(a.ID, b.ID))
}
