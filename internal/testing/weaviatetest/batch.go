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
	for i := range body.Objects {
		if body.Objects[i].Class == "" { // the real server panics, and this is what is left of the answer
			w.WriteHeader(http.StatusOK)
			return nil
		}
		body.Objects[i].Class = s.realNameLocked(body.Objects[i].Class)
	}
	for _, action := range []string{"update_data", "create_data"} {
		for _, o := range body.Objects {
			if err := s.may(r, action, dataOf(o.Class, o.Tenant, "")); err != nil {
				return err
			}
		}
	}
	for i, o := range body.Objects {
		if c := s.classes[o.Class]; c != nil && c.MultiTenancy.AutoTenantCreation && o.Tenant == "" {
			return refuse(http.StatusUnprocessableEntity, fmt.Sprintf(
				"auto create tenants: auto-tenant: add tenants to collection %q: tenant name at index %d: empty tenant name", c.Name, i))
		}
	}
	reply(w, http.StatusOK, s.upsertAllLocked(body.Objects, r.Header))
	return nil
}

func (s *Server) upsertAllLocked(objects []Object, header http.Header) []verdict {
	now, faults := s.nowLocked(), make([]error, len(objects))
	for i := range objects {
		o := &objects[i]
		o.Created, o.Updated = now, now
		if o.Properties == nil {
			o.Properties = map[string]any{}
		}
		if c := s.classes[o.Class]; c == nil {
			faults[i] = fmt.Errorf("class '%s' not present in schema", o.Class)
		} else {
			faults[i] = c.check(o)
		}
	}
	s.vectorizeLocked(objects, faults, header)
	verdicts := make([]verdict, len(objects))
	for i := range objects {
		if faults[i] == nil {
			faults[i] = s.upsertLocked(&objects[i])
		}
		verdicts[i] = verdict{Object: objects[i], Result: result{Status: "SUCCESS"}}
		if faults[i] != nil {
			verdicts[i].Result = result{Errors: errorBody(faults[i].Error()), Status: "FAILED"}
		}
	}
	return verdicts
}

// vectorizeLocked makes the vectors of all objects that have no fault yet, class by class.
func (s *Server) vectorizeLocked(objects []Object, faults []error, header http.Header) {
	places := map[string][]int{}
	for i := range objects {
		if faults[i] == nil {
			places[objects[i].Class] = append(places[objects[i].Class], i)
		}
	}
	for class, at := range places {
		var of []*Object
		for _, i := range at {
			of = append(of, &objects[i])
		}
		for n, err := range s.classes[class].vectorizeBatch(of, header) {
			faults[at[n]] = err
		}
	}
}

func (s *Server) upsertLocked(o *Object) error {
	st, err := s.classes[o.Class].storeFor(o.Tenant, true)
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
