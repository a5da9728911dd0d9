package settings

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"hearth/client/wire"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
)

// faults lists what is wrong with the environment. A variable that could not be read has only one fault.
type faults struct {
	list []error
	bad  map[string]bool // variables that could not be read
}

func (f *faults) unreadable(name, what string) {
	if f.bad[name] {
		return
	}
	if f.bad == nil {
		f.bad = map[string]bool{}
	}
	f.bad[name] = true
	f.list = append(f.list, fmt.Errorf("%s: %s", name, what))
}

func (f *faults) check(ok bool, name, format string, args ...any) {
	if !ok && !f.bad[name] {
		f.list = append(f.list, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
	}
}

// validate adds every fault of the variables that could be read, and reads the files that they name.
func (s *Settings) validate(f *faults) {
	f.check(isLoopback(s.Addr), "HEARTH_ADDR", "must be a loopback address and a port, such as 127.0.0.1:2774")
	f.check(fitsSocket(s.Socket), "HEARTH_SOCKET", "must have 107 bytes at most")
	s.validateWeaviate(f)
	s.validateClasses(f)
	s.validateOdoo(f)
	s.validateSecrets(f)
	s.validateProxy(f)
	s.validateBounds(f)
	s.readCA(f)
}

func (s *Settings) validateWeaviate(f *faults) {
	f.check(s.WeaviateURL == "" || isURL(s.WeaviateURL), "HEARTH_WEAVIATE_URL", "must be http://host or https://host, without user or query")
	f.check(s.WeaviateGRPCURL == "" || isOrigin(s.WeaviateGRPCURL), "HEARTH_WEAVIATE_GRPC_URL", "must be http://host:port or https://host:port")
	f.check(s.WeaviateURL != "" || s.WeaviateGRPCURL == "", "HEARTH_WEAVIATE_URL", "is missing, but HEARTH_WEAVIATE_GRPC_URL is set")
	f.check(s.WeaviateURL != "" || s.WeaviateKey == "", "HEARTH_WEAVIATE_URL", "is missing, but HEARTH_WEAVIATE_API_KEY is set")
	f.check(slices.Contains([]string{"", "ONE", "QUORUM", "ALL"}, s.WeaviateConsistency), "HEARTH_WEAVIATE_CONSISTENCY", "must be ONE, QUORUM or ALL")
}

func (s *Settings) validateClasses(f *faults) {
	const noClass = "must be a class's name: a capital letter, then letters, digits and _"
	f.check(isClass(s.MessageClass), "HEARTH_MESSAGE_CLASS", noClass)
	f.check(isClass(s.MuteClass), "HEARTH_MUTE_CLASS", noClass)
	different := func(fields []string) bool {
		for i, f := range fields { // Weaviate takes Role for role
			if !isName(f) || slices.ContainsFunc(fields[:i], func(g string) bool { return strings.EqualFold(f, g) }) {
				return false
			}
		}
		return true
	}
	f.check(len(s.MessageFields) == 4 && different(s.MessageFields), "HEARTH_MESSAGE_FIELDS",
		"must be 4 different properties, separated by commas: of the chat, the role, the content and the time (or %s)", weaviate.CreationTime)
	f.check((len(s.MuteFields) == 2 || len(s.MuteFields) == 3) && different(s.MuteFields), "HEARTH_MUTE_FIELDS",
		"must be 2 or 3 different properties, separated by commas: of the chat, whether it is muted, and until when")
}

func (s *Settings) validateOdoo(f *faults) {
	f.check(s.OdooURL == "" || isURL(s.OdooURL), "HEARTH_ODOO_URL", "must be http://host or https://host, without user or query")
	odooSet := s.OdooDB != "" || s.OdooUser != "" || s.OdooKey != "" || s.OdooUID != 0
	f.check(s.OdooURL != "" || !odooSet, "HEARTH_ODOO_URL", "is missing, but other HEARTH_ODOO_ variables are set")
	f.check(slices.Contains([]string{"auto", "json2", "jsonrpc"}, s.OdooProtocol), "HEARTH_ODOO_PROTOCOL", "must be auto, json2 or jsonrpc")
	f.check(s.OdooLang == "" || odoo.ValidLang(s.OdooLang), "HEARTH_ODOO_LANG", "must be the code of a language, such as es or es_ES")
	f.check(s.OdooUID >= 0, "HEARTH_ODOO_UID", "must not be negative")
	if s.OdooURL != "" {
		f.check(s.OdooKey != "", "HEARTH_ODOO_KEY", "is missing: an API key or a password")
		if s.OdooProtocol == "jsonrpc" {
			f.check(s.OdooDB != "", "HEARTH_ODOO_DB", "is missing: jsonrpc needs it")
			f.check(s.OdooUser != "" || s.OdooUID != 0, "HEARTH_ODOO_USER", "is missing, and HEARTH_ODOO_UID too: jsonrpc needs one of them")
		}
	}
	const mostModels, mostNames = 50, 100
	f.check(len(s.OdooModels) <= mostModels, "HEARTH_ODOO_MODELS", "may name %d models", mostModels)
	f.check(len(s.OdooRoutes) <= mostNames, "HEARTH_ODOO_ROUTES", "may name %d routes", mostNames)
	f.check(len(s.OdooReads) <= mostNames, "HEARTH_ODOO_READS", "may name %d methods", mostNames)
	for _, m := range s.OdooModels {
		f.check(odoo.ValidModel(m), "HEARTH_ODOO_MODELS", "%q is no model's name", m)
	}
	for _, m := range s.OdooReads {
		f.check(isName(m), "HEARTH_ODOO_READS", "%q is no method's name", m)
	}
}

func (s *Settings) validateBounds(f *faults) {
	const connections, timeout, margin = "1 to 256", "more than 0 and at most 15m", "0 to 1m"
	bound(f, "HEARTH_WEAVIATE_CONNECTIONS", &s.WeaviateConnections, 1, 256, connections)
	bound(f, "HEARTH_ODOO_CONNECTIONS", &s.OdooConnections, 1, 256, connections)
	bound(f, "HEARTH_TIMELINE_WINDOW", &s.TimelineWindow, 1, 1000, "1 to 1000")
	bound(f, "HEARTH_HISTORY_PREVIEW", &s.HistoryPreview, 1, 100_000, "1 to 100000")
	bound(f, "HEARTH_WORKERS", &s.Workers, 1, 64, "1 to 64")
	bound(f, "HEARTH_WEAVIATE_TIMEOUT", &s.WeaviateTimeout, 1, 15*time.Minute, timeout)
	bound(f, "HEARTH_ODOO_TIMEOUT", &s.OdooTimeout, 1, 15*time.Minute, timeout)
	bound(f, "HEARTH_PREPROCESS_TIMEOUT", &s.PreprocessTimeout, 1, 15*time.Minute, timeout)
	bound(f, "HEARTH_CONN_MAX_IDLE", &s.ConnMaxIdle, 1, 15*time.Minute, timeout)
	bound(f, "HEARTH_AFTER_INVOKE_BUDGET", &s.AfterInvokeBudget, 0, time.Minute, margin)
	bound(f, "HEARTH_DEADLINE_MARGIN", &s.DeadlineMargin, 0, time.Minute, margin)
	if s.CacheBytes != 0 {
		bound(f, "HEARTH_CACHE_BYTES", &s.CacheBytes, 256<<10, 8<<30, "256KiB to 8GiB")
	}
	bound(f, "HEARTH_MAX_BODY", &s.MaxBody, 1<<10, 64<<20, "1KiB to 64MiB")
}

// bound adds a fault if a number is out of its bounds, and sets the number to 0. Every package accepts 0, so that in Lambda Hearth
// can serve although a setting is faulty.
func bound[T ~int | ~int64](f *faults, name string, value *T, least, top T, bounds string) {
	if *value < least || *value > top {
		f.check(false, name, "must be %s", bounds)
		*value = 0
	}
}

// readCA reads the file of HEARTH_TLS_CA. No fault tells its path, which may be the certificate itself.
func (s *Settings) readCA(f *faults) {
	if s.TLSCA == "" {
		return
	}
	var err error
	s.ca, err = os.ReadFile(s.TLSCA)
	if p, ok := errors.AsType[*os.PathError](err); ok {
		err = p.Err
	}
	f.check(err == nil, "HEARTH_TLS_CA", "cannot be read: %v", err)
	f.check(err != nil || x509.NewCertPool().AppendCertsFromPEM(s.ca), "HEARTH_TLS_CA", "must be a file with PEM certificates")
}

// DropFaultyUpstreams returns the settings without the upstreams that a fault concerns. A variable that belongs to one of Weaviate, Odoo
// and fetch concerns that one. Any other variable concerns all of them.
func (s Settings) DropFaultyUpstreams(fault error) Settings {
	if fault == nil {
		return s
	}
	for line := range strings.Lines(fault.Error()) {
		switch {
		case strings.HasPrefix(line, "HEARTH_FETCH_"):
			s.FetchAllow = nil
		case strings.HasPrefix(line, "HEARTH_ODOO_"):
			s.OdooURL = ""
		case strings.HasPrefix(line, "HEARTH_WEAVIATE_"), strings.HasPrefix(line, "HEARTH_MESSAGE_"), strings.HasPrefix(line, "HEARTH_MUTE_"):
			s.WeaviateURL = ""
		default:
			s.WeaviateURL, s.OdooURL, s.FetchAllow = "", "", nil
		}
	}
	return s
}

func isLoopback(addr string) bool {
	_, ok := wire.LoopbackPort(addr)
	return ok
}

// fitsSocket says whether a path fits into the address of a Unix socket.
func fitsSocket(path string) bool { return len(path) <= 107 }

// What follows uses no regular expressions: to compile the few that these checks would need takes longer than all of validate.

// isName says whether s may be the name of a property or a method: letters, digits and _, and no digit in front.
func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// isClass says whether s may be the name of a class.
func isClass(s string) bool { return isName(s) && 'A' <= s[0] && s[0] <= 'Z' }

// isURL says whether s is http://host or https://host, with or without a path.
func isURL(s string) bool {
	host, _, ok := splitURL(s)
	return ok && !strings.Contains(host, "@")
}

// isOrigin says whether s is a URL without a path.
func isOrigin(s string) bool {
	_, path, _ := splitURL(s)
	return isURL(s) && path == ""
}

// splitURL takes a URL of HTTP apart: what is between // and the next slash, and what follows that slash.
func splitURL(s string) (host, path string, ok bool) {
	_, err := url.Parse(s)
	scheme, rest, _ := strings.Cut(s, "://")
	host, path, _ = strings.Cut(rest, "/")
	return host, path, err == nil && (scheme == "http" || scheme == "https") && host != "" && !strings.ContainsAny(rest, "?# \t\n\f\r")
}
