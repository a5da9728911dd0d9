package servers

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// permission is one of a role.
type permission struct {
	Action      string            `json:"action"`
	Data        map[string]string `json:"data,omitempty"`
	Collections map[string]string `json:"collections,omitempty"`
	Tenants     map[string]string `json:"tenants,omitempty"`
}

// permissions are those of the guide's role.
func permissions(t *testing.T) []permission {
	t.Helper()
	guide, err := readGuide(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var role struct{ Permissions []permission }
	if err := json.Unmarshal([]byte(guide.role.body), &role); err != nil {
		t.Fatal(err)
	}
	if len(role.Permissions) == 0 {
		t.Fatalf("the role of the guide has no permissions: %s", guide.role.body)
	}
	return role.Permissions
}

// permit gives the stranger these permissions and no others.
func (w *Weaviate) permit(t *testing.T, permissions []permission) {
	t.Helper()
	role, err := json.Marshal(map[string]any{"name": "tried", "permissions": permissions})
	if err != nil {
		t.Fatal(err)
	}
	w.admin(t, http.MethodDelete, "/v1/authz/roles/tried", "")
	w.admin(t, http.MethodPost, "/v1/authz/roles", string(role))
	w.admin(t, http.MethodPost, "/v1/authz/users/"+Stranger+"/assign", `{"roles": ["tried"], "userType": "db"}`)
}

func TestTheGuidesRoleIsTheSmallestThatWorks(t *testing.T) {
	w := startWeaviate(t, WeaviateConfig{Users: []Classes{GuideClasses()}})
	role := permissions(t)
	for _, class := range []string{"Message", "ChatStatus"} {
		w.createClass(t, class, "")
		if err := w.use(t, w.Key, place{class: class}); err != nil {
			t.Errorf("with the whole role, %s: %v", class, err)
		}
		if err := w.use(t, w.StrangerKey, place{class: class}); err == nil {
			t.Errorf("a user without a role may use %s", class)
		}
	}
	for i, missing := range role {
		w.permit(t, slices.Delete(slices.Clone(role), i, i+1))
		class := missing.Data["collection"] + missing.Collections["collection"]
		if err := w.use(t, w.StrangerKey, place{class: class}); err == nil || !strings.Contains(err.Error(), missing.Action) {
			t.Errorf("without %s on %s: %v", missing.Action, class, err)
		}
	}
	if _, err := w.rest(t.Context(), w.Key, http.MethodGet, "/v1/schema/Missing", ""); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a class that does not exist: %v", err)
	}
}

func TestTenantsAndAliasesNeedTheRightsThatTheGuideNames(t *testing.T) {
	w := startWeaviate(t, WeaviateConfig{Users: []Classes{GuideClasses()}})
	w.createClass(t, "Message", `"enabled": true, "autoTenantActivation": true`)
	w.createClass(t, "ChatStatus", `"enabled": true, "autoTenantCreation": true`)
	w.admin(t, http.MethodPost, "/v1/schema/Message/tenants", `[{"name": "one"}, {"name": "two"}, {"name": "cold", "activityStatus": "COLD"}]`)
	w.admin(t, http.MethodPost, "/v1/schema/ChatStatus/tenants", `[{"name": "one"}]`)
	w.admin(t, http.MethodPost, "/v1/aliases", `{"alias": "Chat", "class": "Message"}`)

	for _, in := range []place{{"Message", "one"}, {"Message", "cold"}, {"Chat", "one"}} {
		if err := w.use(t, w.Key, in); err != nil {
			t.Errorf("with the guide's role, %v: %v", in, err)
		}
	}
	schema, err := w.rest(t.Context(), w.Key, http.MethodGet, "/v1/schema/Chat", "")
	if err != nil || !strings.Contains(string(schema), `"class":"Message"`) {
		t.Errorf("the schema of an alias is %s: %v", schema, err)
	}

	made := []place{{"ChatStatus", "one"}, {"ChatStatus", "new"}} // one exists
	for _, in := range made {
		if err := w.use(t, w.Key, in); err == nil || !strings.Contains(err.Error(), "create_tenants") {
			t.Errorf("with the guide's role, where tenants are made, %v: %v", in, err)
		}
	}
	w.permit(t, append(permissions(t), permission{Action: "create_tenants", Tenants: map[string]string{"collection": "ChatStatus"}}))
	for _, in := range made {
		if err := w.use(t, w.StrangerKey, in); err != nil {
			t.Errorf("with create_tenants, %v: %v", in, err)
		}
	}

	one := permissions(t)
	for _, p := range one {
		if p.Data["collection"] == "Message" {
			p.Data["tenant"] = "one"
		}
	}
	w.permit(t, one)
	if err := w.use(t, w.StrangerKey, place{"Message", "one"}); err != nil {
		t.Errorf("with rights for one tenant: %v", err)
	}
	if err := w.use(t, w.StrangerKey, place{"Message", "two"}); err == nil {
		t.Error("with rights for one tenant, another is served")
	}
}
