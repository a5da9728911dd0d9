// Package settings reads the environment: the variables, their defaults, what is wrong with them, and what follows from them.
//
// Start at [Read]: nothing else in Hearth reads the environment. settings.go has the variables, validate.go their faults, derive.go what
// the rooms are given, types.go the types of variables that are Hearth's own. The package opens no connection and starts nothing.
package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/caarlos0/env/v11"
)

// Settings are the environment variables, each with its default, and what [Read] found besides. Durations are as Go writes them, sizes as
// 32MiB, and lists have commas. docs/configuration.md says what each is for.
type Settings struct {
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
	Unknown []string // variables that start with HEARTH_ and mean nothing
}

// Initialization types in which Hearth lives differently than on demand.
const (
	InitProvisioned = "provisioned-concurrency"  // INIT may take its time
	InitSnapStart   = "snap-start"               // the sandbox after INIT is copied many times
	InitManaged     = "lambda-managed-instances" // never frozen, many invocations at once
)

// reserved are variables of features to come: set already, they do no harm.
var reserved = []string{"HEARTH_FETCH_ALLOW"} //nolint:gochecknoglobals // a constant list

// Read reads the environment, and joins all faults, each with its variable's name. The settings are
// usable as far as they go even then.
func Read(environ []string) (Settings, error) {
	var s Settings
	values := env.ToMap(environ)
	variables := map[string]string{} // field → variable
	var faults []error
	unread := map[string]bool{} // variables whose faults are known already
	for f := range reflect.TypeFor[Settings]().Fields() {
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
				faults = append(faults, fmt.Errorf("%s: %s", name, expectedFormat(p)))
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
			s.Unknown = append(s.Unknown, name)
		}
	}
	slices.Sort(s.Unknown)
	if s.Socket == "" && s.RuntimeAPI != "" {
		s.Socket = "/tmp/hearth.sock"
	}
	if s.WeaviateGRPCURL == "" && isURL(s.WeaviateURL) {
		s.WeaviateGRPCURL = grpcURL(s.WeaviateURL)
	}
	if values["HEARTH_WEAVIATE_CONNECTIONS"] == "" {
		s.WeaviateConnections = s.defaultPoolSize(5, 64)
	}
	if values["HEARTH_ODOO_CONNECTIONS"] == "" {
		s.OdooConnections = s.defaultPoolSize(2, 8)
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

// expectedFormat says what a variable must be that could not be read.
func expectedFormat(e env.ParseError) string {
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
