package lab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
)

// Object is a row of a class in Weaviate.
type Object struct {
	Class      string         `json:"class"`
	ID         string         `json:"id"`
	Properties map[string]any `json:"properties"`
}

// Store puts objects into Weaviate directly. An object replaces one that has its id.
func (u *Upstreams) Store(objects ...Object) error {
	if u.real != nil {
		return u.real.store(objects)
	}
	answer, err := ask(u.Weaviate, "/v1/batch/objects", map[string]any{"objects": objects})
	if err == nil && strings.Contains(string(answer), `"errors":{`) {
		err = fmt.Errorf("store objects: %s", answer)
	}
	return err
}

// CallOdoo calls a method of a model directly.
func (u *Upstreams) CallOdoo(model, method string, kwargs map[string]any) ([]byte, error) {
	if u.real != nil {
		return u.real.callOdoo(model, method, kwargs)
	}
	return ask(u.Odoo, "/json/2/"+model+"/"+method, kwargs)
}

func ask(double http.Handler, path string, body any) ([]byte, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(encoded))) //nolint:noctx // it goes nowhere
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "bearer "+OdooKey)
	answer := httptest.NewRecorder()
	double.ServeHTTP(answer, req)
	if answer.Code != http.StatusOK {
		return nil, fmt.Errorf("%s: %d %s", path, answer.Code, answer.Body)
	}
	return answer.Body.Bytes(), nil
}
