package weaviatetest

import (
	"fmt"
	"net/http"
)

// verdict is what a batch write says of one object.
type verdict struct {
	Object
	Deprecations any    `json:"deprecations"`
	Result       result `json:"result"`
}

type result struct {
	Errors any    `json:"errors,omitempty"`
	Status string `json:"status"`
}

// batchObjects upserts: an object that is there is replaced as a whole, its creation time too. Verdicts come in
// order in a 200, but one malformed id refuses the whole batch with a 422, before anything is stored.
func (s *Server) batchObjects(w http.ResponseWriter, r *http.Request, _ []string) error {
	var body struct {
		Objects []Object `json:"objects"`
	}
	if err := readBody(r, &body); err != nil {
		return err
	}
	if len(body.Objects) == 0 {
		return refuse(http.StatusUnprocessableEntity, "invalid param 'objects': cannot be empty, need at least one object for batching")
	}
	for i := range body.Objects {
		if err := completeID(&body.Objects[i], fmt.Sprintf("body.objects.%d.id in body", i)); err != nil {
			return err
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range body.Objects {
		if o.Class == "" { // the real server panics, and this is what is left of the answer
			w.WriteHeader(http.StatusOK)
			return nil
		}
		if c := s.classes[upperFirst(o.Class)]; c != nil && c.MultiTenancy.Enabled && o.Tenant == "" {
			return refuse(http.StatusUnprocessableEntity, fmt.Sprintf(
				"auto create tenants: add tenants to class %q: tenant name at index %d: empty tenant name", c.Name, i))
		}
	}
	now := s.nowLocked()
	verdicts := make([]verdict, len(body.Objects))
	for i := range body.Objects {
		o := &body.Objects[i]
		o.Class, o.Created, o.Updated = upperFirst(o.Class), now, now
		if o.Properties == nil {
			o.Properties = map[string]any{}
		}
		verdicts[i].Result.Status = "SUCCESS"
		if err := s.upsertLocked(o); err != nil {
			verdicts[i].Result = result{Errors: errorBody(err.Error()), Status: "FAILED"}
		}
		verdicts[i].Object = *o
	}
	reply(w, http.StatusOK, verdicts)
	return nil
}

func (s *Server) upsertLocked(o *Object) error {
	c := s.classes[o.Class]
	if c == nil {
		return fmt.Errorf("class '%s' not present in schema", o.Class)
	}
	if err := c.check(o); err != nil {
		return err
	}
	st, err := c.storeFor(o.Tenant, true)
	if err != nil {
		return err
	}
	if s.failBatch != nil {
		if err := s.failBatch(*o); err != nil {
			return err
		}
	}
	return st.put(o)
}
