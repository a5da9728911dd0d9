package odoo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"hearth/pool"
)

// jsonrpc is POST /jsonrpc with the credentials in the body. Everything comes back as 200, faults too.
type jsonrpc struct {
	db  string
	uid int
	key string
}

func (j jsonrpc) secret() string { return j.key }

func (j jsonrpc) encode(c Call) (pool.Request, error) {
	args, kwargs := c.asPositional()
	req, err := jsonrpcRequest("object", "execute_kw", []any{j.db, j.uid, j.key, c.Model, c.Method, args, kwargs})
	if err != nil {
		return pool.Request{}, &ArgumentError{"args", "must be JSON"}
	}
	return req, nil
}

func (j jsonrpc) decode(c Call, r *pool.Response) ([]byte, *Error) {
	result, fault := jsonrpcAnswer(c, j.db, r)
	if fault != nil && fault.Name == "MissingError" &&
		strings.Contains(fault.Message, fmt.Sprintf("res.users(%d,), User: %[1]d)", j.uid)) {
		return nil, credentialsRefused() // Odoo does not find us
	}
	return result, fault
}

func jsonrpcRequest(service, method string, args []any) (pool.Request, error) {
	if args == nil {
		args = []any{}
	}
	type params struct {
		Service string `json:"service"`
		Method  string `json:"method"`
		Args    []any  `json:"args"`
	}
	body, err := json.Marshal(struct {
		JSONRPC string `json:"jsonrpc"`
		ID      int    `json:"id"` // one answer per HTTP request: nothing to tell apart
		Method  string `json:"method"`
		Params  params `json:"params"`
	}{"2.0", 1, "call", params{service, method, args}})
	return pool.Request{
		Method: http.MethodPost,
		Path:   "/jsonrpc",
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   body,
	}, err
}

func jsonrpcAnswer(c Call, db string, r *pool.Response) (json.RawMessage, *Error) {
	switch r.Status {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return nil, protocolMissing(JSONRPC, db)
	default:
		return nil, unexpectedAnswer("no error of Odoo's", r.Status)
	}
	var a struct {
		JSONRPC string          `json:"jsonrpc"`
		Result  json.RawMessage `json:"result"`
		Error   *struct {
			Data fault `json:"data"`
		} `json:"error"`
	}
	switch err := json.Unmarshal(r.Body, &a); {
	case err != nil || a.JSONRPC == "":
		return nil, unexpectedAnswer("no JSON-RPC", r.Status)
	case a.Error != nil:
		return nil, a.Error.Data.toError(c, db)
	case a.Result == nil:
		return json.RawMessage("null"), nil // None is left out
	}
	return a.Result, nil
}
