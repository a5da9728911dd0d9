package weaviatetest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// User is whose a key is.
type User struct {
	Name        string
	Permissions []Permission
}

// Permission lets a user do one thing.
type Permission struct {
	Action     string // "read_data", "create_data", "update_data", "read_collections" …
	Collection string // in which class; in every class if empty
}

// resource is what somebody wants to do something to, as the real server's errors show it.
type resource struct{ collection, text string }

func dataOf(collection, tenant, object string) resource {
	star := func(s string) string {
		if s == "" {
			return "*"
		}
		return s
	}
	return resource{collection, fmt.Sprintf("Domain: data, Collection: %s, Tenant: %s, Object: %s", collection, star(tenant), star(object))}
}

func collectionOf(collection string) resource {
	return resource{collection, fmt.Sprintf("Domain: collections, Collection: %s", collection)}
}

func tenantOf(collection, tenant string) resource {
	return resource{collection, fmt.Sprintf("Domain: tenants, Collection: %s, Tenant: %s", collection, tenant)}
}

func aliasOf(collection, alias string) resource {
	return resource{collection, fmt.Sprintf("Domain: aliases, Collection: %s, Alias: %s", collection, alias)}
}

// SetKeys replaces the keys that are known.
func (s *Server) SetKeys(keys map[string]User) { s.keys.Store(&keys) }

// user finds whose key a request carries; nil where there are no keys.
func (s *Server) user(h http.Header) (*User, error) {
	keys := *s.keys.Load()
	if len(keys) == 0 {
		return nil, nil //nolint:nilnil // nobody in particular, who may do everything
	}
	key, _ := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	u, ok := keys[key]
	if !ok {
		return nil, fmt.Errorf("unauthorized: invalid api key")
	}
	return &u, nil
}

// knock lets in requests to REST with a key that is known.
func (s *Server) knock(h http.Header) error {
	_, err := s.user(h)
	if err != nil && h.Get("Authorization") == "" {
		return &failure{401, 401, "anonymous access not enabled. Please authenticate through one of the available methods: [API-keys]"}
	}
	if err != nil {
		return &failure{401, 401, err.Error()}
	}
	return nil
}

// may tells whether u may do something; nil may do everything.
func (u *User) may(action string, to resource) error {
	if u == nil || slices.ContainsFunc(u.Permissions, func(p Permission) bool {
		return p.Action == action && (p.Collection == "" || p.Collection == to.collection)
	}) {
		return nil
	}
	return refuse(http.StatusForbidden, fmt.Sprintf(
		"rbac: authorization, forbidden action: user '%s' has insufficient permissions to %s [[%s]]", u.Name, action, to.text))
}

// may tells whether the sender of a request to REST, whose key is known, may do something.
func (s *Server) may(r *http.Request, action string, to resource) error {
	u, err := s.user(r.Header)
	if err != nil {
		return err
	}
	return u.may(action, to)
}

// ownInfo shows what a key may do as one role.
func (s *Server) ownInfo(w http.ResponseWriter, r *http.Request, _ []string) error {
	u, err := s.user(r.Header)
	if err != nil {
		return err
	}
	if u == nil {
		return refuse(http.StatusUnauthorized, "")
	}
	var roles any
	if len(u.Permissions) > 0 {
		var permissions []any
		for _, p := range u.Permissions {
			permissions = append(permissions, p.info())
		}
		roles = []any{map[string]any{"name": u.Name, "permissions": permissions}}
	}
	reply(w, http.StatusOK, map[string]any{"groups": nil, "roles": roles, "username": u.Name})
	return nil
}

func (p Permission) info() map[string]any {
	_, domain, _ := strings.Cut(p.Action, "_")
	where := map[string]string{"collection": p.Collection}
	if p.Collection == "" {
		where["collection"] = "*"
	}
	switch domain {
	case "data":
		where["tenant"], where["object"] = "*", "*"
	case "tenants":
		where["tenant"] = "*"
	case "aliases":
		where["alias"] = "*"
	}
	return map[string]any{"action": p.Action, domain: where}
}
