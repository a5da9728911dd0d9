// Package odootest is a stand-in for an Odoo 19, 17 or 14: JSON-2, JSON-RPC and /web/version over a few contacts in
// memory, with the statuses and bodies of the real server. Start at New; serve it with testnet or httptest.
//
// It covers the methods in methods.go and domains of plain conditions; what else a domain may hold it refuses in
// words that begin with "stand-in:". Everybody may do everything. TestSameAsReal compares it with a real server.
package odootest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"hearth/internal/testing/testnet"
)

// Config says what server it is and who may come in. The zero value is an Odoo 19 with admin/admin.
type Config struct {
	Version  int    // 19, or 17 or 14, which have no JSON-2 and no /web/version; default 19
	DB       string // default "demo"
	Login    string // default "admin"
	Password string // good for JSON-RPC only; default "admin"
	Key      string // API key, good for both; default "key"
	UID      int    // default 2
	Lang     string // of the user: es_ES or en_US; default en_US
}

func (c Config) withDefaults() Config {
	c.Version = cmp.Or(c.Version, 19)
	c.DB = cmp.Or(c.DB, "demo")
	c.Login = cmp.Or(c.Login, "admin")
	c.Password = cmp.Or(c.Password, "admin")
	c.Key = cmp.Or(c.Key, "key")
	c.UID = cmp.Or(c.UID, 2)
	c.Lang = cmp.Or(c.Lang, "en_US")
	return c
}

// Server is the stand-in, an http.Handler. It is safe for concurrent use.
type Server struct {
	testnet.Knobs
	cfg Config
	key atomic.Pointer[string]

	mu     sync.Mutex
	models map[string]*model // guarded by mu
}

// New returns a server with a handful of contacts.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, models: demo(cfg)}
	s.SetKey(cfg.Key)
	return s
}

// SetKey replaces the API key.
func (s *Server) SetKey(key string) { s.key.Store(&key) }

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.Before(w, r) {
		return
	}
	path := r.URL.Path
	rest, isJSON2 := strings.CutPrefix(path, "/json/2/")
	switch {
	case path == "/jsonrpc":
		s.jsonRPC(w, r)
	case path == "/web/version" && s.cfg.Version >= 19:
		reply(w, http.StatusOK, map[string]any{"version_info": s.versionInfo(), "version": s.version()})
	case isJSON2 && s.cfg.Version >= 19:
		s.json2(w, r, rest)
	default:
		page(w, http.StatusNotFound, "Not Found")
	}
}

func (s *Server) version() string    { return strconv.Itoa(s.cfg.Version) + ".0" }
func (s *Server) versionInfo() []any { return []any{s.cfg.Version, 0, 0, "final", 0, ""} }

func isJSON(r *http.Request) bool {
	t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return t == "application/json"
}

// json2 answers POST /json/2/<model>/<method>. Without an X-Odoo-Database header the only database is meant.
func (s *Server) json2(w http.ResponseWriter, r *http.Request, rest string) {
	if db := r.Header.Get("X-Odoo-Database"); db != "" && db != s.cfg.DB {
		page(w, http.StatusNotFound, "Not Found") // before there is a database there is no JSON either
		return
	}
	modelName, methodName, ok := strings.Cut(rest, "/")
	switch {
	case r.Method != http.MethodPost || !ok || strings.Contains(methodName, "/"):
		s.replyError(w, httpError(http.StatusNotFound, "NotFound", "Did you mean POST /json/2/<model>/<method>?"))
		return
	case !isJSON(r):
		page(w, http.StatusUnsupportedMediaType, "Unsupported Media Type")
		return
	}
	result, err := s.callJSON2(r, modelName, methodName)
	if err != nil {
		s.replyError(w, err)
		return
	}
	reply(w, http.StatusOK, result) // None is null here, while JSON-RPC leaves it out
}

func (s *Server) callJSON2(r *http.Request, modelName, methodName string) (any, *Error) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case !strings.EqualFold(scheme, "bearer"):
		return nil, httpError(http.StatusUnauthorized, "Unauthorized",
			"User not authenticated, use an API Key with a Bearer Authorization header.")
	case key != *s.key.Load():
		return nil, httpError(http.StatusUnauthorized, "Unauthorized", "Invalid apikey")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, httpError(http.StatusBadRequest, "BadRequest", err.Error())
	}
	var named any
	if len(body) > 0 {
		if named, err = decode(body); err != nil {
			return nil, httpError(http.StatusBadRequest, "BadRequest", "could not parse the body as json: "+err.Error())
		}
	}
	kwargs, _ := named.(map[string]any) // a list is read as no arguments at all
	c := call{model: modelName, method: methodName, kwargs: kwargs, json2: true}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runLocked(c)
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a client that left cannot be told
}

func (s *Server) replyError(w http.ResponseWriter, e *Error) { reply(w, e.Status, e.body()) }

func page(w http.ResponseWriter, status int, title string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<!doctype html>\n<html lang=en>\n<title>"+strconv.Itoa(status)+" "+title+"</title>\n<h1>"+title+"</h1>\n")
}

// decode reads JSON with integers as int64 and other numbers as float64.
func decode(b []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errExtra
	}
	return plain(v), nil
}

func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	}
	return v
}
