package weaviate

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"hearth/pool"
)

// write looks at the roles of the user whose key is used. Only a write would prove that it may write.
func (k *check) write(ctx context.Context) {
	const notProven = "not proven: "
	resp, err := k.cfg.REST.Do(k.credentials.with(ctx), pool.Request{Method: http.MethodGet, Path: "/v1/users/own-info"})
	var user struct {
		Username string `json:"username"`
		Roles    []struct {
			Name        string       `json:"name"`
			Permissions []permission `json:"permissions"`
		} `json:"roles"`
	}
	switch {
	case err != nil:
		k.say("write", Remark, notProven+"%v", err)
		return
	case resp.Status == http.StatusUnauthorized && !k.hasKey():
		k.say("write", Remark, notProven+"without a key the server does not tell what may be written")
		return
	case resp.Status != http.StatusOK:
		k.say("write", Remark, notProven+"the server does not tell what this user may do (%d)", resp.Status)
		return
	case json.Unmarshal(resp.Body, &user) != nil || len(user.Roles) == 0:
		k.say("write", Remark, notProven+"the server tells of no roles of this user")
		return
	}
	var permissions []permission
	for _, role := range user.Roles {
		permissions = append(permissions, role.Permissions...)
	}
	var missing []string
	for _, l := range []*classLoader{k.message, k.mute} {
		name := l.name
		if class := l.peek(); class != nil {
			name = class.name
		}
		actions := []string{"create_data", "update_data"}
		if class := l.peek(); class != nil && class.makesTenants { // even into a tenant that exists
			actions = append(actions, "create_tenants")
		}
		for _, action := range actions {
			if !slices.ContainsFunc(permissions, func(p permission) bool { return p.allows(action, name, k.cfg.Tenant) }) {
				missing = append(missing, action+" on "+name)
			}
		}
	}
	if len(missing) > 0 {
		k.say("write", Failed, "user %s lacks %s", user.Username, strings.Join(missing, ", "))
		return
	}
	k.say("write", OK, "user %s may write by its roles", user.Username)
}

// permission is one of a role, as the server tells them.
type permission struct {
	Action  string    `json:"action"`
	Data    permitted `json:"data"`
	Tenants permitted `json:"tenants"`
}

// permitted are patterns of names.
type permitted struct {
	Collection string `json:"collection"`
	Tenant     string `json:"tenant"`
}

func (p permission) allows(action, class, tenant string) bool {
	on := p.Data
	if strings.HasSuffix(action, "_tenants") {
		on = p.Tenants
	}
	return p.Action == action && matches(on.Collection, class) && (tenant == "" || on.Tenant == "" || matches(on.Tenant, tenant))
}

// matches compares a name with a pattern, in which * stands for any letters.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	if !strings.HasPrefix(name, parts[0]) {
		return false
	}
	name = name[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return strings.HasSuffix(name, parts[len(parts)-1])
}
