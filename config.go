package main

import (
	"cmp"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/caarlos0/env/v11"

	"hearth/cache"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
)

// settings are the environment variables, read once by readSettings and nowhere else.
type settings struct {
	Addr   string `env:"HEARTH_ADDR" envDefault:"127.0.0.1:2774"`
	Socket string `env:"HEARTH_SOCKET"`
	Token  string `env:"HEARTH_TOKEN"`

	WeaviateURL         string        `env:"HEARTH_WEAVIATE_URL"`
	WeaviateGRPCURL     string        `env:"HEARTH_WEAVIATE_GRPC_URL"`
	WeaviateKey         string        `env:"HEARTH_WEAVIATE_API_KEY"`
	WeaviateHeaders     headers       `env:"HEARTH_WEAVIATE_HEADERS"`
	WeaviateConnections int           `env:"HEARTH_WEAVIATE_CONNECTIONS"`
	WeaviateTimeout     time.Duration `env:"HEARTH_WEAVIATE_TIMEOUT" envDefault:"5s"`
	WeaviateConsistency string        `env:"HEARTH_WEAVIATE_CONSISTENCY"`
	WeaviateTenant      string        `env:"HEARTH_WEAVIATE_TENANT"`
	WeaviateVector      string        `env:"HEARTH_WEAVIATE_VECTOR"`

	MessageClass  string   `env:"HEARTH_MESSAGE_CLASS" envDefault:"Message"`
	MessageFields []string `env:"HEARTH_MESSAGE_FIELDS" envDefault:"chat_id,role,content,created_at"`
	MessageRoles  roles    `env:"HEARTH_MESSAGE_ROLES" envDefault:"user,assistant"`
	MuteClass     string   `env:"HEARTH_MUTE_CLASS" envDefault:"ChatStatus"`
	MuteFields    []string `env:"HEARTH_MUTE_FIELDS" envDefault:"chat_id,muted,muted_until"`

	OdooURL         string        `env:"HEARTH_ODOO_URL"`
	OdooDB          string        `env:"HEARTH_ODOO_DB"`
	OdooUser        string        `env:"HEARTH_ODOO_USER"`
	OdooKey         string        `env:"HEARTH_ODOO_KEY"`
	OdooUID         int           `env:"HEARTH_ODOO_UID"`
	OdooProtocol    string        `env:"HEARTH_ODOO_PROTOCOL" envDefault:"auto"`
	OdooLang        string        `env:"HEARTH_ODOO_LANG"`
	OdooConnections int           `env:"HEARTH_ODOO_CONNECTIONS"`
	OdooTimeout     time.Duration `env:"HEARTH_ODOO_TIMEOUT" envDefault:"10s"`
	OdooModels      []string      `env:"HEARTH_ODOO_MODELS" envDefault:"res.partner"`
	OdooRoutes      []string      `env:"HEARTH_ODOO_ROUTES" envDefault:"odoo_erp"`
	OdooReads       []string      `env:"HEARTH_ODOO_READS"`

	TTLHistory    ttl `env:"HEARTH_TTL_HISTORY" envDefault:"2s"`
	TTLRelevant   ttl `env:"HEARTH_TTL_RELEVANT" envDefault:"60s"`
	TTLMute       ttl `env:"HEARTH_TTL_MUTE" envDefault:"5s"`
	TTLOdooRead   ttl `env:"HEARTH_TTL_ODOO_READ" envDefault:"30s"`
	TTLOdooModels ttl `env:"HEARTH_TTL_ODOO_MODELS" envDefault:"1h/24h/24h"`

	CacheBytes     size `env:"HEARTH_CACHE_BYTES"`
	TimelineWindow int  `env:"HEARTH_TIMELINE_WINDOW" envDefault:"50"`
	HistoryPreview int  `env:"HEARTH_HISTORY_PREVIEW" envDefault:"200"`

	Workers           int           `env:"HEARTH_WORKERS" envDefault:"5"`
	PreprocessTimeout time.Duration `env:"HEARTH_PREPROCESS_TIMEOUT" envDefault:"30s"`
	MaxBody           size          `env:"HEARTH_MAX_BODY" envDefault:"1MiB"`

	ConnMaxIdle       time.Duration `env:"HEARTH_CONN_MAX_IDLE" envDefault:"50s"`
	AfterInvokeBudget time.Duration `env:"HEARTH_AFTER_INVOKE_BUDGET" envDefault:"0s"`
	DeadlineMargin    time.Duration `env:"HEARTH_DEADLINE_MARGIN" envDefault:"200ms"`

	TLSCA    string     `env:"HEARTH_TLS_CA"`
	LogLevel slog.Level `env:"HEARTH_LOG_LEVEL" envDefault:"info"`
	Strict   bool       `env:"HEARTH_STRICT"`

	RuntimeAPI     string `env:"AWS_LAMBDA_RUNTIME_API"`
	SessionToken   string `env:"AWS_SESSION_TOKEN"`
	ContainerToken string `env:"AWS_CONTAINER_AUTHORIZATION_TOKEN"`
	MemoryMB       int64  `env:"AWS_LAMBDA_FUNCTION_MEMORY_SIZE"`
	InitType       string `env:"AWS_LAMBDA_INITIALIZATION_TYPE"` // see initType…
	Concurrency    int    `env:"AWS_LAMBDA_MAX_CONCURRENCY"`     // of Managed Instances; 0: not told

	ca      []byte   // what TLSCA holds
	unknown []string // variables that start with HEARTH_ and mean nothing
}

// Initialization types in which Hearth lives differently than on demand.
const (
	initProvisioned = "provisioned-concurrency"  // INIT may take its time
	initSnapStart   = "snap-start"               // the sandbox after INIT is copied many times
	initManaged     = "lambda-managed-instances" // never frozen, many invocations at once
)

// reserved are variables of features to come: set already, they do no harm.
var reserved = []string{"HEARTH_FETCH_ALLOW"} //nolint:gochecknoglobals // a constant list

// readSettings reads the environment, and joins all faults, each with its variable's name. The settings are
// usable as far as they go even then.
func readSettings(environ []string) (settings, error) {
	var s settings
	values := env.ToMap(environ)
	variables := map[string]string{} // field → variable
	var faults []error
	unread := map[string]bool{} // variables whose faults are known already
	for f := range reflect.TypeFor[settings]().Fields() {
		name := f.Tag.Get("env")
		if name == "" {
			continue
		}
		variables[f.Name] = name
		if !strings.HasPrefix(name, "AWS_") { // those of Lambda hold as they stand
			values[name] = trimmed(values[name], f.Type.Kind() == reflect.Slice)
			if strings.ContainsFunc(values[name], unicode.IsControl) {
				faults = append(faults, fmt.Errorf("%s: must hold no control characters: no line may end within it", name))
				unread[name] = true
			}
		}
		if values[name] == "" {
			delete(values, name) // empty is unset
		}
	}
	err := env.ParseWithOptions(&s, env.Options{Environment: values})
	if all, ok := errors.AsType[env.AggregateError](err); ok {
		for _, e := range all.Errors {
			p, ok := errors.AsType[env.ParseError](e)
			switch name := variables[p.Name]; {
			case !ok:
				faults = append(faults, e)
			case !unread[name]:
				faults = append(faults, fmt.Errorf("%s: %s", name, unreadable(p)))
				unread[name] = true
			}
		}
	} else if err != nil {
		faults = append(faults, err)
	}
	known := slices.Collect(func(yield func(string) bool) {
		for _, name := range variables {
			if !yield(name) {
				return
			}
		}
	})
	for name := range values {
		if strings.HasPrefix(name, "HEARTH_") && !slices.Contains(known, name) && !slices.Contains(reserved, name) {
			s.unknown = append(s.unknown, name)
		}
	}
	slices.Sort(s.unknown)
	if s.Socket == "" && s.RuntimeAPI != "" {
		s.Socket = "/tmp/hearth.sock"
	}
	if s.WeaviateGRPCURL == "" && isURL(s.WeaviateURL) {
		s.WeaviateGRPCURL = grpcURL(s.WeaviateURL)
	}
	if values["HEARTH_WEAVIATE_CONNECTIONS"] == "" {
		s.WeaviateConnections = s.connections(5, 64)
	}
	if values["HEARTH_ODOO_CONNECTIONS"] == "" {
		s.OdooConnections = s.connections(2, 8)
	}
	faults = append(faults, s.validate(unread)...)
	return s, errors.Join(faults...)
}

// trimmed drops white space around a value, and around each element of a list.
func trimmed(value string, list bool) string {
	if !list {
		return strings.TrimSpace(value)
	}
	elements := strings.Split(value, ",")
	for i, e := range elements {
		elements[i] = strings.TrimSpace(e)
	}
	return strings.Join(elements, ",")
}

// unreadable says what a variable must be that could not be read.
func unreadable(e env.ParseError) string {
	switch e.Type {
	case reflect.TypeFor[int](), reflect.TypeFor[int64]():
		return "must be a whole number"
	case reflect.TypeFor[bool]():
		return "must be true or false"
	case reflect.TypeFor[time.Duration]():
		return "must be a duration such as 250ms or 2s"
	case reflect.TypeFor[slog.Level]():
		return "must be debug, info, warn or error"
	}
	return e.Err.Error() // of a type of ours
}

// validate returns every fault but those of the variables that could not be read, and reads what the settings
// point to.
func (s *settings) validate(unread map[string]bool) (faults []error) {
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

// without leaves out the upstreams that a fault concerns: both, unless it is clearly one's own.
func (s settings) without(fault error) settings {
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

// roots are those of the system and of HEARTH_TLS_CA; nil: those of the system, which TLS reads when it needs them.
func (s *settings) roots() func() *x509.CertPool {
	if s.ca == nil {
		return nil
	}
	return sync.OnceValue(func() *x509.CertPool {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		roots.AppendCertsFromPEM(s.ca)
		return roots
	})
}

func isLoopback(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
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

// grpcURL is where Weaviate answers gRPC by default: in Weaviate's cloud on a host of its own, elsewhere on port 50051.
func grpcURL(rest string) string {
	u, err := url.Parse(rest)
	if err != nil || u.Host == "" {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	if strings.HasSuffix(host, ".weaviate.cloud") || strings.HasSuffix(host, ".weaviate.network") {
		return "https://grpc-" + host
	}
	return u.Scheme + "://" + net.JoinHostPort(host, "50051")
}

// token is what callers must bring, and the variable that it comes from: the one given, else in Lambda one that both
// sides derive from the credentials that only this sandbox has. The credentials themselves never travel.
func (s *settings) token() (token, variable string) {
	if s.Token != "" || s.RuntimeAPI == "" {
		return s.Token, "HEARTH_TOKEN"
	}
	secret, variable := s.SessionToken, "AWS_SESSION_TOKEN"
	if secret == "" {
		secret, variable = s.ContainerToken, "AWS_CONTAINER_AUTHORIZATION_TOKEN"
	}
	if secret == "" {
		return "", ""
	}
	var sum []byte
	fips140.WithoutEnforcement(func() { // which panics over a short key; the credential is as long as AWS makes it
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte("hearth"))
		sum = mac.Sum(nil)
	})
	return hex.EncodeToString(sum), variable
}

// cacheBytes is the bound given, else an eighth of the function's memory, at most 64 MiB.
func (s *settings) cacheBytes() int64 {
	const most = 64 << 20
	switch {
	case s.CacheBytes != 0:
		return int64(s.CacheBytes)
	case s.MemoryMB > 0:
		return min(s.MemoryMB<<20/8, most)
	}
	return most
}

// answerBytes is how many bytes one answer of an upstream may have: a quarter of the cache's, at least 4 MiB, and room for
// any message that Hearth accepts. Those of one upstream under way may have as many together: it does not use up what the
// other needs.
func (s *settings) answerBytes() int64 {
	return max(s.cacheBytes()/4, 4<<20, 2*int64(s.MaxBody))
}

// connections is the default size of a pool: that of one invocation at a time, or one of them for each of the
// invocations that a managed instance runs at once, up to the most.
func (s *settings) connections(one, most int) int {
	if s.InitType != initManaged {
		return one
	}
	const usual = 16 // per CPU, as Lambda's Python runtime has it
	return min(max(one, cmp.Or(s.Concurrency, usual)), most)
}

// callers are the bounds of the handlers' connections, zero where they are those of one invocation at a time. A managed
// instance is never frozen: nothing speaks for keeping a connection longer than the clients do, which is 5 minutes.
func (s *settings) callers() (connections int, idle time.Duration) {
	if s.InitType != initManaged {
		return 0, 0
	}
	return max(256, 4*s.Concurrency), 10 * time.Minute
}

// keepFrom is the number of freezes from which on connections are kept: a snapshot must hold none, whoever asked for
// something before it, and its restore is the end of the first freeze.
func (s *settings) keepFrom() uint64 {
	if s.InitType == initSnapStart {
		return 1
	}
	return 0
}

// memoryLimit is the soft limit of the Go runtime: a quarter of the function's memory, or what the cache needs if
// that is more. Outside Lambda there is none.
func (s *settings) memoryLimit() int64 {
	if s.MemoryMB <= 0 {
		return math.MaxInt64
	}
	const rest = 32 << 20 // connections, requests, the garbage collector's room
	return max(s.MemoryMB<<20/4, s.cacheBytes()+s.cacheBytes()/4+rest)
}

func (s *settings) policies() map[cache.Resource]cache.Policy {
	return map[cache.Resource]cache.Policy{
		cache.History: cache.Policy(s.TTLHistory), cache.Relevant: cache.Policy(s.TTLRelevant), cache.Mute: cache.Policy(s.TTLMute),
		cache.OdooRead: cache.Policy(s.TTLOdooRead), cache.OdooModels: cache.Policy(s.TTLOdooModels),
	}
}

func (s *settings) weaviate(log *slog.Logger) weaviate.Config {
	m, u := s.MessageFields, append(slices.Clip(s.MuteFields), "")
	return weaviate.Config{
		APIKey: s.WeaviateKey, Headers: s.WeaviateHeaders,
		Consistency: s.WeaviateConsistency, Tenant: s.WeaviateTenant, Vector: s.WeaviateVector,
		Message: weaviate.MessageClass{
			Class: s.MessageClass, ChatID: m[0], Role: m[1], Content: m[2], CreatedAt: m[3],
			User: s.MessageRoles.user, Assistant: s.MessageRoles.assistant,
		},
		Mute:   weaviate.MuteClass{Class: s.MuteClass, ChatID: u[0], Muted: u[1], Until: u[2]},
		Logger: log,
	}
}

func (s *settings) odoo(log *slog.Logger) odoo.Config {
	return odoo.Config{
		DB: s.OdooDB, User: s.OdooUser, Key: s.OdooKey, UID: s.OdooUID, Protocol: odoo.Protocol(s.OdooProtocol),
		Lang: s.OdooLang, Reads: s.OdooReads, Logger: log,
	}
}

// ttl is fresh, or fresh/stale-while-revalidate/stale-if-error.
type ttl cache.Policy

func (t *ttl) UnmarshalText(text []byte) error {
	fields := strings.Split(string(text), "/")
	if len(fields) != 1 && len(fields) != 3 {
		return errors.New("must be fresh, or fresh/stale-while-revalidate/stale-if-error, such as 2s or 1h/24h/24h")
	}
	for i, into := range []*time.Duration{&t.Fresh, &t.WhileRevalidate, &t.IfError}[:len(fields)] {
		d, err := time.ParseDuration(fields[i])
		if err != nil || d < 0 || d > 365*24*time.Hour {
			return fmt.Errorf("%q is not a duration of 0 to 8760h, such as 250ms, 2s or 1h", fields[i])
		}
		*into = d
	}
	return nil
}

// headers are key=value pairs, separated by commas, values percent-encoded.
type headers map[string]string

func (h *headers) UnmarshalText(text []byte) error {
	*h = headers{}
	for pair := range strings.SplitSeq(string(text), ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		switch { // the value stays out of it: it is a secret
		case !ok || !regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$").MatchString(name):
			return errors.New("must be name=value pairs, separated by commas")
		case err != nil:
			return fmt.Errorf("the value of %s is not percent-encoded", name)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r >= 0x7f }):
			return fmt.Errorf("the value of %s must be printable ASCII", name)
		}
		for other := range *h {
			if strings.EqualFold(other, name) {
				return fmt.Errorf("%s stands twice", name)
			}
		}
		(*h)[name] = value
	}
	return nil
}

// roles are the stored values of the two sides: user|human,assistant|ai.
type roles struct{ user, assistant []string }

func (r *roles) UnmarshalText(text []byte) error {
	sides := strings.Split(string(text), ",")
	if len(sides) != 2 {
		return errors.New("must be the user's and the assistant's values, such as user|human,assistant|ai")
	}
	var seen []string
	for i, into := range []*[]string{&r.user, &r.assistant} {
		*into = nil
		for value := range strings.SplitSeq(sides[i], "|") {
			value = strings.TrimSpace(value)
			if value == "" {
				return errors.New("must hold no empty value")
			}
			if slices.Contains(seen, value) {
				return fmt.Errorf("%q stands twice", value)
			}
			seen = append(seen, value)
			*into = append(*into, value)
		}
	}
	return nil
}

// size is a number of bytes, such as 32MiB.
type size int64

func (s *size) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(1)
	for suffix, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if n, ok := strings.CutSuffix(number, suffix); ok {
			number, unit = n, bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return errors.New("must be a size such as 32MiB")
	}
	*s = size(n * unit)
	return nil
}
