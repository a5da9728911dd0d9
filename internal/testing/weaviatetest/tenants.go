package weaviatetest

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
)

var tenantName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// tenant is a tenant as REST has it.
type tenant struct {
	Status string `json:"activityStatus,omitempty"`
	Name   string `json:"name"`
}

const (
	hot  = "HOT"
	cold = "COLD"
)

// statuses are those that can be asked for, with the names that the server gives them.
var statuses = map[string]string{"": "", hot: hot, cold: cold, "ACTIVE": hot, "INACTIVE": cold} //nolint:gochecknoglobals // never changed

func (st *store) status() string {
	if st.cold {
		return cold
	}
	return hot
}

// readTenants reads a list of tenants from a request.
func readTenants(r *http.Request) ([]tenant, error) {
	var tenants []tenant
	if err := readBody(r, &tenants); err != nil {
		return nil, err
	}
	for i := range tenants {
		t := &tenants[i]
		status, ok := statuses[t.Status]
		if !ok {
			return nil, &failure{422, 606, "activityStatus in body should be one of [ACTIVE INACTIVE OFFLOADED OFFLOADING ONLOADING HOT COLD FROZEN FREEZING UNFREEZING]"}
		}
		t.Status = status
		switch {
		case t.Name == "":
			return nil, refuse(http.StatusUnprocessableEntity, fmt.Sprintf("tenant name at index %d: empty tenant name", i))
		case !tenantName.MatchString(t.Name):
			return nil, refuse(http.StatusUnprocessableEntity, fmt.Sprintf("tenant name at index %d:  '%s' is not a valid tenant name. "+
				"should only contain alphanumeric characters (a-z, A-Z, 0-9), underscore (_), and hyphen (-), "+
				"with a length between 1 and 64 characters", i, t.Name))
		}
	}
	return tenants, nil
}

// addTenants takes tenants that are there already, as the real server does.
func (s *Server) addTenants(w http.ResponseWriter, r *http.Request, args []string) error {
	tenants, err := readTenants(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.tenantsOfLocked(args[0], "updating schema: TYPE_ADD_TENANT: ")
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if err := s.may(r, "create_tenants", tenantOf(c.Name, t.Name)); err != nil {
			return err
		}
	}
	for _, t := range tenants {
		if c.stores[t.Name] == nil {
			c.stores[t.Name] = newStore(c)
			c.stores[t.Name].cold = t.Status == cold
		}
	}
	reply(w, http.StatusOK, tenants)
	return nil
}

// setTenants makes tenants active or inactive.
func (s *Server) setTenants(w http.ResponseWriter, r *http.Request, args []string) error {
	tenants, err := readTenants(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	const where = "updating schema: TYPE_UPDATE_TENANT: "
	c, err := s.tenantsOfLocked(args[0], where)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if err := s.may(r, "update_tenants", tenantOf(c.Name, t.Name)); err != nil {
			return err
		}
		if c.stores[t.Name] == nil {
			return refuse(http.StatusUnprocessableEntity, where+"shard not found: "+t.Name)
		}
	}
	for _, t := range tenants {
		c.stores[t.Name].cold = t.Status == cold
	}
	reply(w, http.StatusOK, tenants)
	return nil
}

const whereTenants = "failed to execute query: could not get tenants: could not get tenants: "

func (s *Server) listTenants(w http.ResponseWriter, r *http.Request, args []string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, err := s.tenantsOfLocked(args[0], whereTenants)
	if err != nil {
		return err
	}
	list := []tenant{}
	for _, name := range slices.Sorted(maps.Keys(c.stores)) {
		if s.may(r, "read_tenants", tenantOf(c.Name, name)) == nil {
			list = append(list, tenant{c.stores[name].status(), name})
		}
	}
	reply(w, http.StatusOK, list)
	return nil
}

func (s *Server) hasTenant(w http.ResponseWriter, r *http.Request, args []string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.may(r, "read_tenants", tenantOf(s.realNameLocked(args[0]), args[1])); err != nil {
		return err
	}
	c, err := s.tenantsOfLocked(args[0], whereTenants)
	if err != nil {
		return err
	}
	st := c.stores[args[1]]
	if st == nil {
		return errNotFound
	}
	reply(w, http.StatusOK, tenant{st.status(), args[1]})
	return nil
}

func (s *Server) tenantsOfLocked(name, prefix string) (*class, error) {
	c := s.classes[s.realNameLocked(name)]
	switch {
	case c == nil:
		return nil, refuse(http.StatusUnprocessableEntity, prefix+"class not found")
	case !c.MultiTenancy.Enabled:
		return nil, refuse(http.StatusUnprocessableEntity, prefix+fmt.Sprintf("multi-tenancy is not enabled for class %q", c.Name))
	}
	return c, nil
}
