package odoo

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"hearth/pool"
)

// json2 is POST /json/2/<model>/<method>: named arguments in, a bare value or an honest status out.
type json2 struct {
	db, key string
	header  http.Header // never changed
}

func (j json2) secret() string { return j.key }

func newJSON2(db, key string) json2 {
	h := http.Header{
		"Authorization": {"bearer " + key},
		"Content-Type":  {"application/json"},
	}
	if db != "" {
		h.Set("X-Odoo-Database", db)
	}
	return json2{db: db, key: key, header: h}
}

func (j json2) encode(c Call) (pool.Request, error) {
	named, err := c.asKwargs()
	if err != nil {
		return pool.Request{}, err
	}
	body, err := json.Marshal(named)
	if err != nil {
		return pool.Request{}, &ArgumentError{"kwargs", "must be JSON"}
	}
	return pool.Request{
		Method: http.MethodPost,
		Path:   "/json/2/" + c.Model + "/" + c.Method, // validated: nothing in them needs escaping
		Header: j.header,
		Body:   body,
	}, nil
}

func (j json2) decode(c Call, r *pool.Response) ([]byte, *Error) {
	if r.Status == http.StatusOK {
		switch {
		case !json.Valid(r.Body):
			return nil, unexpectedAnswer("no JSON", r.Status)
		case isEnvelope(r.Body):
			return nil, protocolMissing(JSON2, j.db) // Odoo 18 and older: its way to say 404 to any JSON
		case c.Method == "create":
			return unwrapSingleID(c, r.Body), nil
		}
		return r.Body, nil
	}
	var f fault
	if json.Unmarshal(r.Body, &f) == nil && f.Name != "" {
		f.json2, f.said = true, kindOf(r.Status)
		return nil, f.toError(c, j.db)
	}
	switch {
	case r.Status == http.StatusNotFound && bytes.Contains(r.Body, []byte("No database is selected")):
		return nil, unknownDatabase(j.db)
	case r.Status == http.StatusNotFound, r.Status == http.StatusMethodNotAllowed:
		return nil, protocolMissing(JSON2, j.db)
	}
	return nil, unexpectedAnswer("no error of Odoo's", r.Status)
}

// isEnvelope says whether body, which is valid JSON, is an error of JSON-RPC.
func isEnvelope(body []byte) bool {
	if !isObject(body) || !bytes.Contains(body, []byte(`"jsonrpc"`)) {
		return false
	}
	var e struct {
		JSONRPC string          `json:"jsonrpc"`
		Error   json.RawMessage `json:"error"`
	}
	return json.Unmarshal(body, &e) == nil && e.JSONRPC == "2.0" && e.Error != nil
}

// unwrapSingleID makes create answer as it does under JSON-RPC: given one record's values, with one id. JSON-2 always
// answers with a list.
func unwrapSingleID(c Call, result []byte) []byte {
	vals := c.Kwargs["vals_list"]
	if len(c.Args) > 0 {
		vals = c.Args[0]
	}
	id, list := bytes.CutPrefix(bytes.TrimSpace(result), []byte("["))
	id, ends := bytes.CutSuffix(id, []byte("]"))
	if _, err := strconv.ParseInt(string(bytes.TrimSpace(id)), 10, 64); !isObject(vals) || !list || !ends || err != nil {
		return result
	}
	return bytes.TrimSpace(id)
}
