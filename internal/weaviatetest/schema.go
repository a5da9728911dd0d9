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

// class is a class and its objects: one store, or one for each tenant.
type class struct {
	Name              string         `json:"class"`
	Description       string         `json:"description,omitempty"`
	Inverted          map[string]any `json:"invertedIndexConfig"`
	MultiTenancy      multiTenancy   `json:"multiTenancyConfig"`
	Properties        []*property    `json:"properties"`
	Replication       replication    `json:"replicationConfig"`
	VectorIndexType   string         `json:"vectorIndexType,omitempty"`
	Vectorizer        string         `json:"vectorizer,omitempty"`
	VectorConfig      map[string]any `json:"vectorConfig,omitempty"`
	VectorIndexConfig any            `json:"vectorIndexConfig,omitempty"`

	stores map[string]*store // by tenant; "" without multi-tenancy
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

// kinds are the data types covered. In a class of the real server there may be more.
var kinds = []string{"text", "int", "number", "boolean", "date", "uuid", "text[]"} //nolint:gochecknoglobals // never changed

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
func (c *class) complete() error {
	c.Name = upperFirst(c.Name)
	if !className.MatchString(c.Name) {
		return fmt.Errorf("'%s' is not a valid class name", c.Name)
	}
	if c.Inverted == nil {
		c.Inverted = map[string]any{
			"bm25":      map[string]any{"b": 0.75, "k1": 1.2},
			"stopwords": map[string]any{"additions": nil, "preset": "en", "removals": nil},
		}
	}
	c.Replication.Factor = max(c.Replication.Factor, 1)
	c.Replication.DeletionStrategy = cmp.Or(c.Replication.DeletionStrategy, "NoAutomatedResolution")
	if c.VectorConfig == nil {
		c.VectorIndexType = cmp.Or(c.VectorIndexType, "hnsw")
		c.Vectorizer = cmp.Or(c.Vectorizer, "none")
		if c.Vectorizer != "none" {
			return fmt.Errorf("vectorizer: no module with name %q present", c.Vectorizer)
		}
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

func (p *property) complete() error {
	p.Name = lowerFirst(p.Name)
	if len(p.DataType) != 1 {
		return fmt.Errorf("property '%s': invalid dataType: %v", p.Name, p.DataType)
	}
	if !slices.Contains(kinds, p.kind()) {
		return fmt.Errorf("property '%s': invalid dataType: %v: unknown primitive data type '%s'", p.Name, p.DataType, p.kind())
	}
	isText := strings.HasPrefix(p.kind(), "text")
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
	if st == nil {
		if !create || !c.MultiTenancy.AutoTenantCreation {
			return nil, fmt.Errorf("tenant not found: %q", tenant)
		}
		st = newStore(c)
		c.stores[tenant] = st
	}
	return st, nil
}

func (s *Server) listClasses(w http.ResponseWriter, _ *http.Request, _ []string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := []*class{}
	for _, name := range slices.Sorted(maps.Keys(s.classes)) {
		list = append(list, s.classes[name])
	}
	reply(w, http.StatusOK, map[string]any{"classes": list})
	return nil
}

func (s *Server) addClass(w http.ResponseWriter, r *http.Request, _ []string) error {
	c := &class{}
	if err := readBody(r, c); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.complete(); err != nil {
		return refuse(http.StatusUnprocessableEntity, err.Error())
	}
	if s.classes[c.Name] != nil {
		return refuse(http.StatusUnprocessableEntity, "class name "+c.Name+" already exists")
	}
	s.classes[c.Name] = c
	reply(w, http.StatusOK, c)
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
	if err := c.complete(); err != nil {
		panic(err)
	}
	s.classes[c.Name] = c
}

func (s *Server) getClass(w http.ResponseWriter, _ *http.Request, args []string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := s.classes[upperFirst(args[0])]
	if c == nil {
		return errNotFound
	}
	reply(w, http.StatusOK, c)
	return nil
}

// deleteClass answers 200 for a class that was never there, as the real server does.
func (s *Server) deleteClass(w http.ResponseWriter, _ *http.Request, args []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.classes, upperFirst(args[0]))
	w.WriteHeader(http.StatusOK)
	return nil
}

func upperFirst(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }
func lowerFirst(s string) string { return strings.ToLower(s[:min(1, len(s))]) + s[min(1, len(s)):] }

var tenantName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// addTenants takes tenants that are there already, as the real server does.
func (s *Server) addTenants(w http.ResponseWriter, r *http.Request, args []string) error {
	var tenants []map[string]string
	if err := readBody(r, &tenants); err != nil {
		return err
	}
	for i, t := range tenants {
		switch name := t["name"]; {
		case name == "":
			return refuse(http.StatusUnprocessableEntity, fmt.Sprintf("tenant name at index %d: empty tenant name", i))
		case !tenantName.MatchString(name):
			return refuse(http.StatusUnprocessableEntity, fmt.Sprintf("tenant name at index %d:  '%s' is not a valid tenant name. "+
				"should only contain alphanumeric characters (a-z, A-Z, 0-9), underscore (_), and hyphen (-), "+
				"with a length between 1 and 64 characters", i, name))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.tenantsOfLocked(args[0], "updating schema: TYPE_ADD_TENANT: ")
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if c.stores[t["name"]] == nil {
			c.stores[t["name"]] = newStore(c)
		}
	}
	reply(w, http.StatusOK, tenants)
	return nil
}

func (s *Server) hasTenant(w http.ResponseWriter, _ *http.Request, args []string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, err := s.tenantsOfLocked(args[0], "failed to execute query: could not get tenants: could not get tenants: ")
	if err != nil {
		return err
	}
	if c.stores[args[1]] == nil {
		return errNotFound
	}
	reply(w, http.StatusOK, map[string]any{"activityStatus": "HOT", "name": args[1]})
	return nil
}

func (s *Server) tenantsOfLocked(name, prefix string) (*class, error) {
	c := s.classes[upperFirst(name)]
	switch {
	case c == nil:
		return nil, refuse(http.StatusUnprocessableEntity, prefix+"class not found")
	case !c.MultiTenancy.Enabled:
		return nil, refuse(http.StatusUnprocessableEntity, prefix+fmt.Sprintf("multi-tenancy is not enabled for class %q", c.Name))
	}
	return c, nil
}
