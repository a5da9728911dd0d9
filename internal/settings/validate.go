package settings

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"hearth/client/wire"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
)

// validate returns every fault but those of the variables that could not be read, and reads what the settings
// point to.
func (s *Settings) validate(unread map[string]bool) (faults []error) {
	fault := func(ok bool, name, format string, args ...any) {
		if !ok && !unread[name] {
			faults = append(faults, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
		}
	}
	fault(isLoopback(s.Addr), "HEARTH_ADDR", "must be a loopback address and a port, such as 127.0.0.1:2774")
	fault(fitsSocket(s.Socket), "HEARTH_SOCKET", "must have 107 bytes at most")

	fault(s.WeaviateURL == "" || isURL(s.WeaviateURL), "HEARTH_WEAVIATE_URL", "must be http://host or https://host, without user or query")
	fault(s.WeaviateGRPCURL == "" || isOrigin(s.WeaviateGRPCURL), "HEARTH_WEAVIATE_GRPC_URL", "must be http://host:port or https://host:port")
	fault(s.WeaviateURL != "" || s.WeaviateGRPCURL == "", "HEARTH_WEAVIATE_URL", "is missing, but HEARTH_WEAVIATE_GRPC_URL is set")
	fault(s.WeaviateURL != "" || s.WeaviateKey == "", "HEARTH_WEAVIATE_URL", "is missing, but HEARTH_WEAVIATE_API_KEY is set")
	fault(slices.Contains([]string{"", "ONE", "QUORUM", "ALL"}, s.WeaviateConsistency), "HEARTH_WEAVIATE_CONSISTENCY", "must be ONE, QUORUM or ALL")
	name := regexp.MustCompile(`^[_A-Za-z][_0-9A-Za-z]*$`)
	className := regexp.MustCompile(`^[A-Z][_0-9A-Za-z]*$`)
	const noClass = "must be a class's name: a capital letter, then letters, digits and _"
	fault(className.MatchString(s.MessageClass), "HEARTH_MESSAGE_CLASS", noClass)
	fault(className.MatchString(s.MuteClass), "HEARTH_MUTE_CLASS", noClass)
	different := func(fields []string) bool {
		for i, f := range fields { // Weaviate takes Role for role
			if !name.MatchString(f) || slices.ContainsFunc(fields[:i], func(g string) bool { return strings.EqualFold(f, g) }) {
				return false
			}
		}
		return true
	}
	fault(len(s.MessageFields) == 4 && different(s.MessageFields), "HEARTH_MESSAGE_FIELDS",
		"must be 4 different properties, separated by commas: of the chat, the role, the content and the time (or %s)", weaviate.CreationTime)
	fault((len(s.MuteFields) == 2 || len(s.MuteFields) == 3) && different(s.MuteFields), "HEARTH_MUTE_FIELDS",
		"must be 2 or 3 different properties, separated by commas: of the chat, whether it is muted, and until when")

	fault(s.OdooURL == "" || isURL(s.OdooURL), "HEARTH_ODOO_URL", "must be http://host or https://host, without user or query")
	odooSet := s.OdooDB != "" || s.OdooUser != "" || s.OdooKey != "" || s.OdooUID != 0
	fault(s.OdooURL != "" || !odooSet, "HEARTH_ODOO_URL", "is missing, but other HEARTH_ODOO_ variables are set")
	fault(slices.Contains([]string{"auto", "json2", "jsonrpc"}, s.OdooProtocol), "HEARTH_ODOO_PROTOCOL", "must be auto, json2 or jsonrpc")
	fault(s.OdooLang == "" || odoo.ValidLang(s.OdooLang), "HEARTH_ODOO_LANG", "must be the code of a language, such as es or es_ES")
	fault(s.OdooUID >= 0, "HEARTH_ODOO_UID", "must not be negative")
	if s.OdooURL != "" {
		fault(s.OdooKey != "", "HEARTH_ODOO_KEY", "is missing: an API key or a password")
		if s.OdooProtocol == "jsonrpc" {
			fault(s.OdooDB != "", "HEARTH_ODOO_DB", "is missing: jsonrpc needs it")
			fault(s.OdooUser != "" || s.OdooUID != 0, "HEARTH_ODOO_USER", "is missing, and HEARTH_ODOO_UID too: jsonrpc needs one of them")
		}
	}
	for _, m := range s.OdooModels {
		fault(odoo.ValidModel(m), "HEARTH_ODOO_MODELS", "%q is no model's name", m)
	}
	for _, m := range s.OdooReads {
		fault(name.MatchString(m), "HEARTH_ODOO_READS", "%q is no method's name", m)
	}
	fault(len(s.OdooModels) > 0, "HEARTH_ODOO_MODELS", "must name at least one model")

	for _, n := range []struct {
		name       string
		value      int
		least, top int
	}{
		{"HEARTH_WEAVIATE_CONNECTIONS", s.WeaviateConnections, 1, 256},
		{"HEARTH_ODOO_CONNECTIONS", s.OdooConnections, 1, 256},
		{"HEARTH_TIMELINE_WINDOW", s.TimelineWindow, 1, 1000},
		{"HEARTH_HISTORY_PREVIEW", s.HistoryPreview, 1, 100_000},
		{"HEARTH_WORKERS", s.Workers, 1, 64},
	} {
		fault(n.value >= n.least && n.value <= n.top, n.name, "must be %d to %d", n.least, n.top)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"HEARTH_WEAVIATE_TIMEOUT", s.WeaviateTimeout},
		{"HEARTH_ODOO_TIMEOUT", s.OdooTimeout},
		{"HEARTH_PREPROCESS_TIMEOUT", s.PreprocessTimeout},
		{"HEARTH_CONN_MAX_IDLE", s.ConnMaxIdle},
	} {
		fault(d.value > 0 && d.value <= 15*time.Minute, d.name, "must be more than 0 and at most 15m")
	}
	fault(s.AfterInvokeBudget >= 0 && s.AfterInvokeBudget <= time.Minute, "HEARTH_AFTER_INVOKE_BUDGET", "must be 0 to 1m")
	fault(s.DeadlineMargin >= 0 && s.DeadlineMargin <= time.Minute, "HEARTH_DEADLINE_MARGIN", "must be 0 to 1m")
	fault(s.CacheBytes == 0 || s.CacheBytes >= 256<<10 && s.CacheBytes <= 8<<30, "HEARTH_CACHE_BYTES", "must be 256KiB to 8GiB")
	fault(s.MaxBody >= 1<<10 && s.MaxBody <= 64<<20, "HEARTH_MAX_BODY", "must be 1KiB to 64MiB")

	if s.TLSCA != "" {
		var err error
		s.ca, err = os.ReadFile(s.TLSCA)
		if p, ok := errors.AsType[*os.PathError](err); ok { // the path stays out of it: it may be the PEM itself
			fault(false, "HEARTH_TLS_CA", "cannot be read: %v", p.Err)
		}
		fault(err != nil || x509.NewCertPool().AppendCertsFromPEM(s.ca), "HEARTH_TLS_CA", "must be a file with PEM certificates")
	}
	return faults
}

// WithoutFaulty leaves out the upstreams that a fault concerns: both, unless it is clearly one's own.
func (s Settings) WithoutFaulty(fault error) Settings {
	if fault == nil {
		return s
	}
	for line := range strings.Lines(fault.Error()) {
		switch {
		case strings.HasPrefix(line, "HEARTH_ODOO_"):
			s.OdooURL = ""
		case strings.HasPrefix(line, "HEARTH_WEAVIATE_"), strings.HasPrefix(line, "HEARTH_MESSAGE_"), strings.HasPrefix(line, "HEARTH_MUTE_"):
			s.WeaviateURL = ""
		default:
			s.WeaviateURL, s.OdooURL = "", ""
		}
	}
	return s
}

func isLoopback(addr string) bool {
	_, ok := wire.LoopbackPort(addr)
	return ok
}

// fitsSocket says whether a path fits into a socket's address.
func fitsSocket(path string) bool { return len(path) <= 107 }

func isURL(s string) bool {
	_, err := url.Parse(s)
	return err == nil && regexp.MustCompile(`^https?://[^/?#@\s]+(/[^?#\s]*)?$`).MatchString(s)
}

func isOrigin(s string) bool {
	return regexp.MustCompile(`^https?://[^/?#@\s]+/?$`).MatchString(s) && isURL(s)
}
