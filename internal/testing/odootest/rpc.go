package odootest

import (
	"io"
	"net/http"
)

// jsonRPC answers /jsonrpc: errors come in a 200, and a list of calls is refused.
func (s *Server) jsonRPC(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !isJSON(r) {
		page(w, http.StatusUnsupportedMediaType, "Unsupported Media Type")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	refuse := func(msg string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, msg)
	}
	v, err := decode(body)
	if err != nil {
		refuse("Invalid JSON data")
		return
	}
	req, ok := v.(map[string]any)
	if !ok {
		refuse("Invalid JSON-RPC data")
		return
	}
	out := map[string]any{"jsonrpc": "2.0", "id": req["id"]}
	params, _ := req["params"].(map[string]any)
	s.mu.Lock()
	result, fail := s.serviceLocked(params)
	s.mu.Unlock()
	switch {
	case fail != nil:
		code := 0
		if s.cfg.Version < 19 {
			code = 200
		}
		out["error"] = map[string]any{"code": code, "message": "Odoo Server Error", "data": fail.body()}
	case result != nil:
		out["result"] = result // None is left out
	}
	reply(w, http.StatusOK, out)
}

func (s *Server) serviceLocked(params map[string]any) (any, *Error) {
	for _, name := range []string{"service", "method", "args"} {
		if _, ok := params[name]; !ok {
			return nil, typeError("JSONRPC.jsonrpc() missing 1 required positional argument: '%s'", name)
		}
	}
	service, _ := params["service"].(string)
	method, _ := params["method"].(string)
	args, _ := params["args"].([]any)
	switch service {
	case "common":
		return s.commonLocked(method, args)
	case "object":
		return s.objectLocked(method, args)
	}
	return nil, exception(500, "builtins.KeyError", "%s", service)
}

func (s *Server) commonLocked(method string, args []any) (any, *Error) {
	switch method {
	case "version":
		return map[string]any{
			"server_version": s.version(), "server_version_info": s.versionInfo(), "server_serie": s.version(), "protocol_version": 1,
		}, nil
	case "authenticate", "login":
		if len(args) < 3 {
			return nil, typeError("exp_%s() missing required positional arguments", method)
		}
		if err := s.checkDB(args[0]); err != nil {
			return nil, err
		}
		if args[1] != s.cfg.Login || !s.isSecret(args[2]) {
			return false, nil // no error
		}
		return s.cfg.UID, nil
	}
	return nil, exception(500, "builtins.Exception", "Method not found: %s", method)
}

func (s *Server) isSecret(v any) bool { return v == s.cfg.Password || v == *s.key.Load() }

func (s *Server) checkDB(db any) *Error {
	if db != s.cfg.DB {
		return exception(500, "psycopg2.OperationalError",
			"connection to server on socket \"/var/run/postgresql/.s.PGSQL.5432\" failed: FATAL:  database \"%v\" does not exist\n", db)
	}
	return nil
}

// objectLocked runs execute_kw(db, uid, secret, model, method, args, kwargs) and execute(db, uid, secret, model,
// method, args…).
func (s *Server) objectLocked(method string, args []any) (any, *Error) {
	if method != "execute_kw" && method != "execute" {
		return nil, exception(500, "builtins.NameError", "Method not available %s", method)
	}
	if len(args) < 5 {
		return nil, valueError("not enough values to unpack (expected 2, got 0)")
	}
	if err := s.checkDB(args[0]); err != nil {
		return nil, err
	}
	uid, _ := args[1].(int64)
	if int(uid) != s.cfg.UID {
		return nil, missingError("res.users", uid, int(uid))
	}
	if !s.isSecret(args[2]) {
		return nil, exception(403, "odoo.exceptions.AccessDenied", "Access Denied")
	}
	c := call{}
	c.model, _ = args[3].(string)
	c.method, _ = args[4].(string)
	if method == "execute" {
		c.args = args[5:]
	} else if len(args) > 5 {
		c.args, _ = args[5].([]any)
		if len(args) > 6 {
			c.kwargs, _ = args[6].(map[string]any)
		}
	}
	return s.runLocked(c)
}
