package weaviatetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// property is one property of a class as the schema has it.
type property struct {
	Name              string   `json:"name"`
	Description       string   `json:"description,omitempty"`
	DataType          []string `json:"dataType"`
	Tokenization      string   `json:"tokenization,omitempty"`
	IndexFilterable   *bool    `json:"indexFilterable"`
	IndexSearchable   *bool    `json:"indexSearchable"`
	IndexRangeFilters *bool    `json:"indexRangeFilters"`
}

func (p *property) kind() string { return p.DataType[0] }

// base is the kind of a single value: a list's without its brackets.
func (p *property) base() string { return strings.TrimSuffix(p.kind(), "[]") }

// class is a class and its objects: one store, or one for each tenant.
type class struct {
	Name              string                   `json:"class"`
	Description       string                   `json:"description,omitempty"`
	Inverted          map[string]any           `json:"invertedIndexConfig"`
	MultiTenancy      multiTenancy             `json:"multiTenancyConfig"`
	Properties        []*property              `json:"properties"`
	Replication       replication              `json:"replicationConfig"`
	VectorIndexType   string                   `json:"vectorIndexType,omitempty"`
	Vectorizer        string                   `json:"vectorizer,omitempty"`
	VectorConfig      map[string]*vectorConfig `json:"vectorConfig,omitempty"`
	VectorIndexConfig any                      `json:"vectorIndexConfig,omitempty"`
	ModuleConfig      any                      `json:"moduleConfig,omitempty"`

	stores map[string]*store // by tenant; "" without multi-tenancy
}

// vectorConfig is one named vector.
type vectorConfig struct {
	Vectorizer        map[string]any `json:"vectorizer"` // by name, of which there is one
	VectorIndexType   string         `json:"vectorIndexType"`
	VectorIndexConfig any            `json:"vectorIndexConfig,omitempty"`
}

type multiTenancy struct {
	Enabled              bool `json:"enabled"`
	AutoTenantCreation   bool `json:"autoTenantCreation"`
	AutoTenantActivation bool `json:"autoTenantActivation"`
}

type replication struct {
	Factor           int    `json:"factor"`
	AsyncEnabled     bool   `json:"asyncEnabled"`
	DeletionStrategy string `json:"deletionStrategy"`
}

var className = regexp.MustCompile(`^[A-Z][_0-9A-Za-z]{0,254}$`)

// kinds are the data types covered, each alone or as a list. In a class of the real server there may be more.
var kinds = []string{"text", "int", "number", "boolean", "date", "uuid"} //nolint:gochecknoglobals // never changed

func (c *class) property(name string) *property {
	for _, p := range c.Properties {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// complete fills in what the real server fills in, and checks the rest. Unlike a real single node it lets a class
// have replicas, because the consistencyLevel argument exists only then.
func (c *class) complete(installed []string) error {
	c.Name = upperFirst(c.Name)
	if !className.MatchString(c.Name) {
		return fmt.Errorf("'%s' is not a valid class name", c.Name)
	}
	inverted := map[string]any{
		"bm25":      map[string]any{"b": 0.75, "k1": 1.2},
		"stopwords": map[string]any{"additions": nil, "preset": "en", "removals": nil},
	}
	maps.Copy(inverted, c.Inverted)
	c.Inverted = inverted
	c.Replication.Factor = max(c.Replication.Factor, 1)
	c.Replication.DeletionStrategy = cmp.Or(c.Replication.DeletionStrategy, "TimeBasedResolution")
	if err := c.completeVectors(installed); err != nil {
		return err
	}
	for _, p := range c.Properties {
		if err := p.complete(); err != nil {
			return err
		}
	}
	c.stores = map[string]*store{}
	if !c.MultiTenancy.Enabled {
		c.stores[""] = newStore(c)
	}
	return nil
}

func (c *class) completeVectors(installed []string) error {
	check := func(vectorizer string, indexType *string) error {
		*indexType = cmp.Or(*indexType, "hnsw")
		switch {
		case vectorizer != "none" && !slices.Contains(installed, vectorizer):
			return fmt.Errorf("vectorizer: no module with name %q present", vectorizer)
		case *indexType == "dynamic": // the real server's default
			return fmt.Errorf("the dynamic index can only be created when async indexing is enabled")
		case *indexType != "hnsw" && *indexType != "flat":
			return fmt.Errorf("unrecognized or unsupported vectorIndexType %q", *indexType)
		}
		return nil
	}
	if c.VectorConfig == nil {
		c.Vectorizer = cmp.Or(c.Vectorizer, "none")
		return check(c.Vectorizer, &c.VectorIndexType)
	}
	for name, v := range c.VectorConfig {
		if v == nil || len(v.Vectorizer) != 1 {
			return fmt.Errorf("class.VectorConfig.Vectorizer must be an object, got <nil>")
		}
		if err := check(c.vectorizer(name), &v.VectorIndexType); err != nil {
			return fmt.Errorf("target vector %q: %w", name, err)
		}
	}
	return nil
}

func (c *class) indexType(target string) string {
	if c.VectorConfig == nil {
		return c.VectorIndexType
	}
	return c.VectorConfig[target].VectorIndexType
}

func (p *property) complete() error {
	p.Name = lowerFirst(p.Name)
	if len(p.DataType) != 1 {
		return fmt.Errorf("property '%s': invalid dataType: %v", p.Name, p.DataType)
	}
	if !slices.Contains(kinds, p.base()) {
		return fmt.Errorf("property '%s': invalid dataType: %v: unknown primitive data type '%s'", p.Name, p.DataType, p.kind())
	}
	isText := p.base() == "text"
	if !isText && p.Tokenization != "" {
		return fmt.Errorf("tokenization is not allowed for data type '%s'", p.kind())
	}
	if isText {
		p.Tokenization = cmp.Or(p.Tokenization, "word")
		if tokenizers[p.Tokenization] == nil {
			return fmt.Errorf("tokenization '%s' is not allowed for data type '%s'", p.Tokenization, p.kind())
		}
	}
	for flag, usual := range map[**bool]bool{
		&p.IndexFilterable: true, &p.IndexSearchable: isText, &p.IndexRangeFilters: false,
	} {
		if *flag == nil {
			*flag = new(usual)
		}
	}
	return nil
}

// storeFor finds the store of a tenant. create makes a missing one, where the class allows it.
func (c *class) storeFor(tenant string, create bool) (*store, error) {
	switch {
	case c.MultiTenancy.Enabled && tenant == "":
		return nil, fmt.Errorf("class %s has multi-tenancy enabled, but request was without tenant", c.Name)
	case !c.MultiTenancy.Enabled && tenant != "":
		return nil, fmt.Errorf("class %s has multi-tenancy disabled, but request was with tenant", c.Name)
	}
	st := c.stores[tenant]
	if st != nil && st.cold {
		return nil, fmt.Errorf("tenant not active: '%s'", tenant)
	}
	if st == nil {
		if !create || !c.MultiTenancy.AutoTenantCreation {
			return nil, fmt.Errorf("tenant not found: %q", tenant)
		}
		st = newStore(c)
		c.stores[tenant] = st
	}
	return st, nil
}

func (s *Server) listClasses(w http.ResponseWriter, r *http.Request, _ []string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := []*class{}
	for _, name := range slices.Sorted(maps.Keys(s.classes)) {
		if s.may(r, "read_collections", collectionOf(name)) == nil {
			list = append(list, s.classes[name])
		}
	}
	reply(w, http.StatusOK, map[string]any{"classes": list})
	return nil
}

func (s *Server) addClass(w http.ResponseWriter, r *http.Request, _ []string) error {
	c := &class{}
	if err := readBody(r, c); err != nil {
		return err
	}
	if err := s.may(r, "create_collections", collectionOf(upperFirst(c.Name))); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.addLocked(c); err != nil {
		body := errorBody(err.Error())
		body["allowed"] = nil
		reply(w, http.StatusUnprocessableEntity, body)
		return nil
	}
	reply(w, http.StatusOK, c)
	return nil
}

func (s *Server) addLocked(c *class) error {
	if err := c.complete(s.cfg.Modules); err != nil {
		return err
	}
	if s.classes[c.Name] != nil {
		return fmt.Errorf("class name %s already exists", c.Name)
	}
	if s.aliases[c.Name] != "" {
		return fmt.Errorf("alias name %s already exists", c.Name)
	}
	s.classes[c.Name] = c
	return nil
}

// MustAddClass adds a class from its schema in JSON, for tests that do not go over HTTP. It panics if it cannot.
func (s *Server) MustAddClass(schema string) {
	c := &class{}
	if err := json.Unmarshal([]byte(schema), c); err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.addLocked(c); err != nil {
		panic(err)
	}
}

func (s *Server) getClass(w http.ResponseWriter, r *http.Request, args []string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	name := s.realNameLocked(args[0])
	if err := s.may(r, "read_collections", collectionOf(name)); err != nil {
		return err
	}
	c := s.classes[name]
	if c == nil {
		return errNotFound
	}
	reply(w, http.StatusOK, c)
	return nil
}

// deleteClass answers 200 for a class that was never there, and for an alias, which stays.
func (s *Server) deleteClass(w http.ResponseWriter, r *http.Request, args []string) error {
	name := upperFirst(args[0])
	if err := s.may(r, "delete_collections", collectionOf(name)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.classes, name)
	w.WriteHeader(http.StatusOK)
	return nil
}

func upperFirst(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }
func lowerFirst(s string) string { return strings.ToLower(s[:min(1, len(s))]) + s[min(1, len(s)):] }
