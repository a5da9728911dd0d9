// Package settings reads the environment: the variables, their defaults, what is wrong with them, and what follows.
//
// Start at [Read]: nothing else in Hearth reads the environment. settings.go has the variables and their defaults, validate.go
// finds their faults, derive.go makes the configs of the other packages, and types.go has the types of values that are Hearth's
// own. The package opens no connection and starts nothing.
package settings

import (
	"cmp"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"hearth/pool/web"
)

// Settings are the environment variables with their defaults, and what [Read] found besides. docs/configuration.md says
// what each variable is for.
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

	TTLHistory    ttl `env:"HEARTH_TTL_HISTORY" envDefault:"2s/0s/10m"`
	TTLRelevant   ttl `env:"HEARTH_TTL_RELEVANT" envDefault:"60s"`
	TTLMute       ttl `env:"HEARTH_TTL_MUTE" envDefault:"5s/0s/10m"`
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

	FetchAllow web.Allow `env:"HEARTH_FETCH_ALLOW"`

	Proxy           string `env:"HEARTH_PROXY"`
	HTTPSProxy      string `env:"HTTPS_PROXY"`
	HTTPSProxyLower string `env:"https_proxy"` // overrides HTTPS_PROXY, as in other programs
	NoProxy         string `env:"NO_PROXY"`
	NoProxyLower    string `env:"no_proxy"`

	TLSCA    string     `env:"HEARTH_TLS_CA"`
	LogLevel slog.Level `env:"HEARTH_LOG_LEVEL" envDefault:"info"`
	Strict   bool       `env:"HEARTH_STRICT"`

	// Lambda sets the variables below, except for the endpoints.

	AccessKeyID     string `env:"AWS_ACCESS_KEY_ID"`
	SecretAccessKey string `env:"AWS_SECRET_ACCESS_KEY"`
	KeysURL         string `env:"AWS_CONTAINER_CREDENTIALS_FULL_URI"`
	Endpoint        string `env:"AWS_ENDPOINT_URL"`
	SecretsEndpoint string `env:"AWS_ENDPOINT_URL_SECRETS_MANAGER"`
	SSMEndpoint     string `env:"AWS_ENDPOINT_URL_SSM"`

	RuntimeAPI     string `env:"AWS_LAMBDA_RUNTIME_API"`
	SessionToken   string `env:"AWS_SESSION_TOKEN"`
	ContainerToken string `env:"AWS_CONTAINER_AUTHORIZATION_TOKEN"`
	FunctionName   string `env:"AWS_LAMBDA_FUNCTION_NAME"`
	MemoryMB       int64  `env:"AWS_LAMBDA_FUNCTION_MEMORY_SIZE"`
	InitType       string `env:"AWS_LAMBDA_INITIALIZATION_TYPE"` // see initType…
	GoDebug        string `env:"GODEBUG"`                        // of the Go runtime, and so of the function's handler too

	Unknown []string // variables that start with HEARTH_ and are none of these
	ca      []byte   // the file that TLSCA names
}

// Initialization types. Hearth lives differently in those that are not on demand.
const (
	InitOnDemand    = "on-demand"
	InitProvisioned = "provisioned-concurrency"  // INIT may take its time
	InitSnapStart   = "snap-start"               // the sandbox after INIT is copied many times
	InitManaged     = "lambda-managed-instances" // never frozen, many invocations at once
)

// Read reads the environment. The error joins all faults, each with the name of its variable. Even then the settings
// hold whatever could be read; a number out of its bounds is 0.
func Read(environ []string) (Settings, error) {
	var s Settings
	var f faults
	values := make(map[string]string, len(environ))
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		values[name] = value
	}
	var known []string
	for field, value := range reflect.ValueOf(&s).Elem().Fields() {
		name := field.Tag.Get("env")
		if name == "" {
			continue
		}
		known = append(known, name)
		if strings.HasPrefix(name, "HEARTH_") { // the others are not ours to tidy
			values[name] = trimmed(values[name], field.Type.Kind() == reflect.Slice)
			if strings.ContainsFunc(values[name], unicode.IsControl) {
				f.unreadable(name, "must hold no control characters: no line may end within it")
			}
		}
		text := cmp.Or(values[name], field.Tag.Get("envDefault")) // an empty variable is an unset one
		if text == "" {
			continue
		}
		if err := parse(text, value.Addr().Interface()); err != nil {
			value.SetZero()
			f.unreadable(name, err.Error())
		}
	}
	s.Unknown = unknown(values, known)
	s.setDefaults(values)
	s.validate(&f)
	return s, errors.Join(f.list...)
}

// unknown lists the variables that start with HEARTH_ and are not known.
func unknown(values map[string]string, known []string) (names []string) {
	for name := range values {
		if strings.HasPrefix(name, "HEARTH_") && !slices.Contains(known, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
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
