package weaviatetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Object is an object as it travels over REST. Properties hold string, bool, float64 and []any.
type Object struct {
	Class      string               `json:"class,omitempty"`
	Created    int64                `json:"creationTimeUnix,omitempty"`
	ID         string               `json:"id,omitempty"`
	Updated    int64                `json:"lastUpdateTimeUnix,omitempty"`
	Properties map[string]any       `json:"properties"`
	Tenant     string               `json:"tenant,omitempty"`
	Vector     []float32            `json:"vector,omitempty"`
	Vectors    map[string][]float32 `json:"vectors,omitempty"`
}

func (o *Object) vector(target string) []float32 {
	if target == "" {
		return o.Vector
	}
	return o.Vectors[target]
}

// setVector changes a vector; another object that shares the map of vectors keeps its own.
func (o *Object) setVector(target string, v []float32) {
	if target == "" {
		o.Vector = v
		return
	}
	o.Vectors = maps.Clone(o.Vectors)
	if o.Vectors == nil {
		o.Vectors = map[string][]float32{}
	}
	o.Vectors[target] = v
}

// check makes o fit for storing: names in their canonical case, nulls left out, numbers as float64. It changes o's
// properties even when it fails, as a verdict repeats them.
func (c *class) check(o *Object) error {
	clean := make(map[string]any, len(o.Properties))
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(o.Properties)) {
		v := o.Properties[name]
		p := c.property(lowerFirst(name))
		if p == nil {
			clean[name] = v
			faults = append(faults, noSuchProperty(name, c.Name))
			continue
		}
		if v == nil {
			continue
		}
		v, err := p.check(v, c.Name)
		if err != nil {
			faults = append(faults, err)
		}
		clean[p.Name] = v
	}
	o.Properties = clean
	if len(faults) > 0 {
		return faults[0]
	}
	if len(o.Vector) > 0 && len(c.VectorConfig) == 1 && len(o.Vectors) == 0 {
		o.setVector(c.targets()[0], o.Vector)
		o.Vector = nil
	}
	if len(o.Vector) > 0 && c.VectorConfig != nil {
		return fmt.Errorf("collection %s configuration does not have single vector index", c.Name)
	}
	for name := range o.Vectors {
		if c.VectorConfig[name] == nil {
			return fmt.Errorf("collection %s does not have configuration for vector %s", c.Name, name)
		}
	}
	return nil
}

func noSuchProperty(name, class string) error {
	return fmt.Errorf("no such prop with name '%s' found in class '%s' in the schema. "+
		"Check your schema files for which properties in this class are available", name, class)
}

// check makes a value fit for storing.
func (p *property) check(v any, class string) (any, error) {
	bad := func(kind, why string, args ...any) (any, error) {
		return v, fmt.Errorf("invalid %s property '%s' on class '%s': %s", kind, p.Name, class, fmt.Sprintf(why, args...))
	}
	if p.base() != p.kind() {
		return p.checkList(v, bad)
	}
	out, ok := p.single(v)
	if ok {
		return out, nil
	}
	number, isNumber := v.(json.Number)
	switch p.kind() {
	case "text":
		return bad("text", "not a string, but %T", v)
	case "boolean":
		return bad("boolean", "not a bool, but %T", v)
	case "date":
		return bad("date", "requires a string with a RFC3339 formatted date, but the given value is '%v'", v)
	case "uuid":
		return bad("uuid", "requires a string of UUID format, but the given value is '%v'", v)
	case "int":
		if isNumber {
			return bad("integer", "the JSON number '%s' could not be converted to an int", number)
		}
		return bad("integer", "requires an integer, the given value is '%v'", v)
	}
	return bad("number", "requires a float, the given value is '%v'", v)
}

func (p *property) checkList(v any, bad func(kind, why string, args ...any) (any, error)) (any, error) {
	// The real server's words; the third is for a bad element.
	words := map[string][3]string{
		"text": {"text", "a string", ""}, "int": {"integer", "an integer", "integer"}, "number": {"number", "an integer", "integer"},
		"boolean": {"boolean", "a boolean", "boolean"}, "date": {"date", "a date", "date"}, "uuid": {"uuid", "a uuid", "uuid"},
	}[p.base()]
	list, ok := v.([]any)
	if !ok {
		return bad(words[0]+" array", "not %s array, but %T", words[1], v)
	}
	out := make([]any, len(list))
	for i, e := range list {
		if out[i], ok = p.single(e); !ok && p.base() == "text" {
			return bad("text array", "not a string, but %T", e)
		}
		if !ok {
			return bad(words[0]+" array", "invalid %s array value: %v", words[2], list)
		}
	}
	return out, nil
}

// single checks one value. A date is kept as written; a UUID is kept in lower case with hyphens, however it was written.
func (p *property) single(v any) (any, bool) {
	text, isText := v.(string)
	number, isNumber := v.(json.Number)
	switch p.base() {
	case "text":
		return v, isText
	case "boolean":
		_, ok := v.(bool)
		return v, ok
	case "date":
		_, err := time.Parse(time.RFC3339, text)
		return v, isText && err == nil
	case "uuid":
		id, err := uuid.Parse(text)
		return id.String(), isText && err == nil
	case "int":
		if _, err := strconv.ParseInt(number.String(), 10, 64); err != nil {
			return v, false
		}
	}
	f, err := number.Float64()
	return f, isNumber && err == nil
}

// parseID gives the canonical form of an id, which must be one of the 36-character kind.
func parseID(id string) (string, bool) {
	u, err := uuid.Parse(id)
	if err != nil || len(id) != 36 {
		return "", false
	}
	return u.String(), true
}

func (s *Server) postObject(w http.ResponseWriter, r *http.Request, _ []string) error {
	var o Object
	if err := readBody(r, &o); err != nil {
		return err
	}
	if err := completeID(&o, "body.id in body"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.Class = s.realNameLocked(o.Class)
	if err := s.may(r, "create_data", dataOf(o.Class, o.Tenant, "")); err != nil {
		return err
	}
	c := s.classes[o.Class]
	if c == nil {
		return refuse(http.StatusUnprocessableEntity, fmt.Sprintf("invalid object: class %q not found in schema", o.Class))
	}
	if err := c.check(&o); err != nil {
		return refuse(http.StatusUnprocessableEntity, "invalid object: "+err.Error())
	}
	st, err := c.storeFor(o.Tenant, true)
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, err.Error())
	}
	if st.objects[o.ID] != nil {
		return refuse(http.StatusUnprocessableEntity, "id '"+o.ID+"' already exists")
	}
	if err := c.vectorizeOne(&o, r.Header); err != nil {
		return refuse(http.StatusInternalServerError, err.Error())
	}
	o.Created = s.nowLocked()
	o.Updated = o.Created
	if err := st.put(&o); err != nil {
		return refuse(http.StatusInternalServerError, "put object: "+err.Error())
	}
	reply(w, http.StatusOK, o)
	return nil
}

// completeID gives o an id if it has none.
func completeID(o *Object, where string) error {
	if o.ID == "" {
		o.ID = uuid.NewString()
		return nil
	}
	id, ok := parseID(o.ID)
	if !ok {
		return &failure{422, 601, fmt.Sprintf("%s must be of type uuid: %q", where, o.ID)}
	}
	o.ID = id
	return nil
}

// locateLocked finds the store that the path's class and the tenant mean, and checks the path's id.
func (s *Server) locateLocked(r *http.Request, action string, args []string, tenant, prefix string) (*store, string, error) {
	id, ok := parseID(args[1])
	if !ok {
		return nil, "", &failure{422, 601, fmt.Sprintf("id in path must be of type uuid: %q", args[1])}
	}
	name := s.realNameLocked(args[0])
	if err := s.may(r, action, dataOf(name, tenant, id)); err != nil {
		if f, ok := errors.AsType[*failure](err); ok && r.Method == http.MethodPatch {
			f.msg = "msg:" + f.msg + " code:403 err:" + f.msg
		}
		return nil, "", err
	}
	c := s.classes[name]
	if c == nil {
		return nil, "", errNotFound
	}
	st, err := c.storeFor(tenant, false)
	if err != nil {
		return nil, "", refuse(http.StatusUnprocessableEntity, fmt.Sprintf(prefix, indexName(c))+"determine shard: "+err.Error())
	}
	return st, id, nil
}

func indexName(c *class) string { return lowerAll(c.Name) }

func (s *Server) getObject(w http.ResponseWriter, r *http.Request, args []string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, id, err := s.locateLocked(r, "read_data", args, r.URL.Query().Get("tenant"), "repo: object by id: search index %s: ")
	if err != nil {
		return err
	}
	o := st.objects[id]
	if o == nil {
		return errNotFound
	}
	out := struct {
		Object
		VectorWeights any `json:"vectorWeights"`
	}{Object: o.Object}
	if r.URL.Query().Get("include") != "vector" {
		out.Vector, out.Vectors = nil, nil
	}
	reply(w, http.StatusOK, out)
	return nil
}

// patchObject merges: what the body does not name stays, a null clears. It answers 204 also for a body whose id is
// another one's, which it ignores. The tenant comes in the body; a query parameter is not looked at.
func (s *Server) patchObject(w http.ResponseWriter, r *http.Request, args []string) error {
	var patch Object
	if err := readBody(r, &patch); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, id, err := s.locateLocked(r, "update_data", args, patch.Tenant, "msg:repo.object code:422 err:search index %s: ")
	if err != nil {
		return err
	}
	old := st.objects[id]
	if old == nil {
		return errNotFound
	}
	o := old.Object
	o.Properties = maps.Clone(o.Properties)
	for name, v := range patch.Properties {
		if v == nil {
			delete(o.Properties, lowerFirst(name))
		}
	}
	if err := st.class.check(&patch); err != nil {
		return refuse(http.StatusUnprocessableEntity, "msg:bad request code:400 err:"+err.Error())
	}
	maps.Copy(o.Properties, patch.Properties)
	if patch.Vector != nil {
		o.Vector = patch.Vector
	}
	for name, v := range patch.Vectors {
		o.setVector(name, v)
	}
	if patch.Vector == nil && patch.Vectors == nil {
		if err := st.class.vectorizeAgain(&o, r.Header); err != nil {
			return refuse(http.StatusInternalServerError, "msg:merge and vectorize code:500 err:"+err.Error())
		}
	}
	o.Updated = s.nowLocked()
	if err := st.put(&o); err != nil {
		return refuse(http.StatusInternalServerError, err.Error())
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// putObject replaces an object that is there.
func (s *Server) putObject(w http.ResponseWriter, r *http.Request, args []string) error {
	var o Object
	if err := readBody(r, &o); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, id, err := s.locateLocked(r, "update_data", args, o.Tenant, "msg:repo.object code:422 err:search index %s: ")
	if err != nil {
		return err
	}
	if got, ok := parseID(o.ID); !ok || got != id {
		return refuse(http.StatusUnprocessableEntity, "invalid update: field 'id' is immutable")
	}
	o.ID = id
	if err := st.class.check(&o); err != nil {
		return refuse(http.StatusUnprocessableEntity, "invalid object: "+err.Error())
	}
	old := st.objects[id]
	if old == nil {
		return errNotFound
	}
	if err := st.class.vectorizeOne(&o, r.Header); err != nil {
		return refuse(http.StatusInternalServerError, "update object: "+err.Error())
	}
	o.Class, o.Created, o.Updated = st.class.Name, old.Created, s.nowLocked()
	if err := st.put(&o); err != nil {
		return refuse(http.StatusInternalServerError, err.Error())
	}
	reply(w, http.StatusOK, o)
	return nil
}

// deleteObject answers 204 whether or not there was one.
func (s *Server) deleteObject(w http.ResponseWriter, r *http.Request, args []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := s.realNameLocked(args[0])
	if err := s.may(r, "delete_data", dataOf(name, r.URL.Query().Get("tenant"), args[1])); err == nil && s.classes[name] == nil {
		return refuse(http.StatusInternalServerError,
			"could not delete object from vector repo: delete from non-existing index for "+name)
	}
	st, id, err := s.locateLocked(r, "delete_data", args, r.URL.Query().Get("tenant"), "delete object from vector repo: delete from index %q: ")
	if err != nil {
		return err
	}
	st.remove(id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
