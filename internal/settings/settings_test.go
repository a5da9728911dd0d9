package settings

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/pool/weaviate"
)

// These are the defaults of docs/configuration.md.
func TestDefaultsAreGood(t *testing.T) {
	s, err := Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		Addr:                "127.0.0.1:2774",
		WeaviateConnections: 64, WeaviateTimeout: 5 * time.Second,
		MessageClass: "Message", MessageFields: []string{"chat_id", "role", "content", "created_at"},
		MessageRoles: roles{[]string{"user"}, []string{"assistant"}},
		MuteClass:    "ChatStatus", MuteFields: []string{"chat_id", "muted", "muted_until"},
		OdooProtocol: "auto", OdooConnections: 8, OdooTimeout: 10 * time.Second,
		OdooModels: []string{"res.partner"}, OdooRoutes: []string{"odoo_erp"},
		TTLHistory:     ttl{Fresh: 2 * time.Second, IfError: 10 * time.Minute},
		TTLRelevant:    ttl{Fresh: time.Minute},
		TTLMute:        ttl{Fresh: 5 * time.Second, IfError: 10 * time.Minute},
		TTLOdooRead:    ttl{Fresh: 30 * time.Second},
		TTLOdooModels:  ttl{Fresh: time.Hour, WhileRevalidate: 24 * time.Hour, IfError: 24 * time.Hour},
		TimelineWindow: 50, HistoryPreview: 200, Workers: 5, PreprocessTimeout: 30 * time.Second, MaxBody: 1 << 20,
		ConnMaxIdle: 50 * time.Second, DeadlineMargin: 200 * time.Millisecond,
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("%+v,\nwant %+v", s, want)
	}
	if n := s.CacheSize(); n != 64<<20 {
		t.Errorf("the cache has %d bytes", n)
	}
}

// Each variable takes the values up to its bounds, and none beyond.
func TestTheBoundsOfEveryNumber(t *testing.T) {
	for name, tc := range map[string]struct{ good, bad []string }{
		"HEARTH_WEAVIATE_CONNECTIONS": {[]string{"1", "256"}, []string{"0", "257"}},
		"HEARTH_ODOO_CONNECTIONS":     {[]string{"1", "256"}, []string{"0", "257"}},
		"HEARTH_TIMELINE_WINDOW":      {[]string{"1", "1000"}, []string{"0", "1001"}},
		"HEARTH_HISTORY_PREVIEW":      {[]string{"1", "100000"}, []string{"0", "100001"}},
		"HEARTH_WORKERS":              {[]string{"1", "64"}, []string{"0", "65"}},
		"HEARTH_WEAVIATE_TIMEOUT":     {[]string{"1ns", "15m"}, []string{"0s", "15m1ns"}},
		"HEARTH_ODOO_TIMEOUT":         {[]string{"1ns", "15m"}, []string{"0s", "15m1ns"}},
		"HEARTH_PREPROCESS_TIMEOUT":   {[]string{"1ns", "15m"}, []string{"0s", "15m1ns"}},
		"HEARTH_CONN_MAX_IDLE":        {[]string{"1ns", "15m"}, []string{"0s", "15m1ns"}},
		"HEARTH_AFTER_INVOKE_BUDGET":  {[]string{"0s", "1m"}, []string{"-1ns", "1m1ns"}},
		"HEARTH_DEADLINE_MARGIN":      {[]string{"0s", "1m"}, []string{"-1ns", "1m1ns"}},
		"HEARTH_CACHE_BYTES":          {[]string{"256KiB", "8GiB", "0"}, []string{"262143", "8589934593", "-1"}},
		"HEARTH_MAX_BODY":             {[]string{"1KiB", "64MiB"}, []string{"1023", "67108865"}},
		"HEARTH_TTL_HISTORY":          {[]string{"0s", "8760h", "0s/8760h/8760h"}, []string{"8760h1ns", "0s/8760h1ns/0s", "0s/0s/-1ns"}},
		"HEARTH_SOCKET":               {[]string{"/" + strings.Repeat("x", 106)}, []string{"/" + strings.Repeat("x", 107)}},
		"HEARTH_ADDR":                 {[]string{"localhost:0", "127.255.0.1:65535", "[::1]:1"}, []string{"localhost:65536", "128.0.0.1:1", "[::2]:1", ":1", "hearth:1"}},
	} {
		for _, value := range tc.good {
			if _, err := Read([]string{name + "=" + value}); err != nil {
				t.Errorf("%s=%s: %v", name, value, err)
			}
		}
		for _, value := range tc.bad {
			if _, err := Read([]string{name + "=" + value}); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
				t.Errorf("%s=%s: %v, want a fault", name, value, err)
			}
		}
	}
}

func TestEveryFaultIsNamedByItsVariable(t *testing.T) {
	odoo := "HEARTH_ODOO_URL=https://odoo\nHEARTH_ODOO_KEY=k\n"
	for env, want := range map[string]string{
		"HEARTH_ADDR=0.0.0.0:2774": "HEARTH_ADDR", "HEARTH_ADDR=127.0.0.1": "HEARTH_ADDR", "HEARTH_ADDR=localhost:99999": "HEARTH_ADDR",
		"HEARTH_SOCKET=/" + strings.Repeat("x", 107): "HEARTH_SOCKET",
		"HEARTH_TOKEN=mi\rne":                        "HEARTH_TOKEN: must hold no control characters",
		odoo + "HEARTH_ODOO_USER=u\x00":              "HEARTH_ODOO_USER", "HEARTH_ODOO_URL=https://odoo\nHEARTH_ODOO_KEY=k\x7fk": "HEARTH_ODOO_KEY", "HEARTH_ODOO_ROUTES=a,b\tc": "HEARTH_ODOO_ROUTES",
		"HEARTH_WORKERS=5\t5": "HEARTH_WORKERS: must hold no control characters", "HEARTH_TTL_MUTE=1s/\x0b2s/3s": "HEARTH_TTL_MUTE: must hold no control characters",
		"HEARTH_SOCKET=/tmp/\u0085x": "HEARTH_SOCKET", "HEARTH_TLS_CA=-----BEGIN\rx": "HEARTH_TLS_CA: must hold no control characters", "HEARTH_MESSAGE_FIELDS=a,b,c\x01,d": "HEARTH_MESSAGE_FIELDS",
		"HEARTH_WEAVIATE_URL=weaviate": "HEARTH_WEAVIATE_URL", "HEARTH_WEAVIATE_URL=ftp://x": "HEARTH_WEAVIATE_URL", "HEARTH_WEAVIATE_URL=https://u:p@w": "HEARTH_WEAVIATE_URL",
		"HEARTH_WEAVIATE_API_KEY=k": "HEARTH_WEAVIATE_URL", "HEARTH_WEAVIATE_CONNECTIONS=0": "HEARTH_WEAVIATE_CONNECTIONS",
		"HEARTH_WEAVIATE_CONNECTIONS=five": "HEARTH_WEAVIATE_CONNECTIONS: must be a whole number", "HEARTH_WEAVIATE_TIMEOUT=5": "HEARTH_WEAVIATE_TIMEOUT: must be a duration such as 250ms or 2s",
		"HEARTH_WEAVIATE_TIMEOUT=-1s": "HEARTH_WEAVIATE_TIMEOUT", "HEARTH_WEAVIATE_CONSISTENCY=MOST": "HEARTH_WEAVIATE_CONSISTENCY",
		"HEARTH_MESSAGE_CLASS=message": "HEARTH_MESSAGE_CLASS", "HEARTH_MESSAGE_FIELDS=a,b,c": "HEARTH_MESSAGE_FIELDS",
		"HEARTH_MESSAGE_FIELDS=a,b,c,A": "HEARTH_MESSAGE_FIELDS", "HEARTH_MESSAGE_FIELDS=a,b,c,d e": "HEARTH_MESSAGE_FIELDS",
		"HEARTH_MUTE_CLASS=x}": "HEARTH_MUTE_CLASS", "HEARTH_MUTE_FIELDS=a": "HEARTH_MUTE_FIELDS",
		"HEARTH_MUTE_FIELDS=a,b,": "HEARTH_MUTE_FIELDS", "HEARTH_MUTE_FIELDS=a,a": "HEARTH_MUTE_FIELDS",
		"HEARTH_MESSAGE_ROLES=user": "HEARTH_MESSAGE_ROLES", "HEARTH_MESSAGE_ROLES=user,ai,bot": "HEARTH_MESSAGE_ROLES",
		"HEARTH_MESSAGE_ROLES=user|,ai": "HEARTH_MESSAGE_ROLES", "HEARTH_MESSAGE_ROLES=a|b,b": "HEARTH_MESSAGE_ROLES: \"b\" stands twice",
		"HEARTH_WEAVIATE_URL=https://w\nHEARTH_WEAVIATE_GRPC_URL=w:50051":     "HEARTH_WEAVIATE_GRPC_URL",
		"HEARTH_WEAVIATE_URL=https://w\nHEARTH_WEAVIATE_GRPC_URL=https://w/x": "HEARTH_WEAVIATE_GRPC_URL",
		"HEARTH_WEAVIATE_GRPC_URL=https://w:1":                                "HEARTH_WEAVIATE_URL",
		"HEARTH_WEAVIATE_HEADERS=X-Key":                                       "HEARTH_WEAVIATE_HEADERS", "HEARTH_WEAVIATE_HEADERS=X Key=a": "HEARTH_WEAVIATE_HEADERS",
		"HEARTH_WEAVIATE_HEADERS=X-Key=%zz": "HEARTH_WEAVIATE_HEADERS", "HEARTH_WEAVIATE_HEADERS=X-Key=a,x-key=b": "HEARTH_WEAVIATE_HEADERS",
		"HEARTH_WEAVIATE_HEADERS=X-Key=a%0Ab": "HEARTH_WEAVIATE_HEADERS: the value of X-Key must be printable ASCII",
		"HEARTH_ODOO_KEY=k":                   "HEARTH_ODOO_URL", "HEARTH_ODOO_URL=https://odoo": "HEARTH_ODOO_KEY",
		odoo + "HEARTH_ODOO_PROTOCOL=xmlrpc": "HEARTH_ODOO_PROTOCOL", odoo + "HEARTH_ODOO_PROTOCOL=jsonrpc\nHEARTH_ODOO_USER=u": "HEARTH_ODOO_DB",
		odoo + "HEARTH_ODOO_PROTOCOL=jsonrpc\nHEARTH_ODOO_DB=d": "HEARTH_ODOO_USER", odoo + "HEARTH_ODOO_UID=-1": "HEARTH_ODOO_UID",
		odoo + "HEARTH_ODOO_LANG=es-ES": "HEARTH_ODOO_LANG", odoo + "HEARTH_ODOO_LANG=Spanish": "HEARTH_ODOO_LANG",
		"HEARTH_ODOO_USER=u": "HEARTH_ODOO_URL: is missing, but other HEARTH_ODOO_ variables are set", "HEARTH_ODOO_UID=1": "HEARTH_ODOO_URL", "HEARTH_ODOO_DB=d": "HEARTH_ODOO_URL",
		"HEARTH_ODOO_MODELS=a,": "HEARTH_ODOO_MODELS", "HEARTH_WEAVIATE_HEADERS=X-Key=a%7Fb": "HEARTH_WEAVIATE_HEADERS: the value of X-Key must be printable ASCII",
		"HEARTH_WEAVIATE_CONNECTIONS=\x01": "HEARTH_WEAVIATE_CONNECTIONS: must hold no control characters", "HEARTH_CACHE_BYTES=9223372036854775807GiB": "HEARTH_CACHE_BYTES: must be a size such as 32MiB",
		"HEARTH_ODOO_MODELS=a..b": "HEARTH_ODOO_MODELS", "HEARTH_ODOO_READS=read, x y": "HEARTH_ODOO_READS",
		"HEARTH_TTL_HISTORY=soon": "HEARTH_TTL_HISTORY", "HEARTH_TTL_MUTE=1s/2s": "HEARTH_TTL_MUTE", "HEARTH_TTL_ODOO_READ=-1s": "HEARTH_TTL_ODOO_READ",
		"HEARTH_CACHE_BYTES=1": "HEARTH_CACHE_BYTES", "HEARTH_CACHE_BYTES=1MB": "HEARTH_CACHE_BYTES", "HEARTH_MAX_BODY=1GiB": "HEARTH_MAX_BODY",
		"HEARTH_TIMELINE_WINDOW=0": "HEARTH_TIMELINE_WINDOW", "HEARTH_HISTORY_PREVIEW=0": "HEARTH_HISTORY_PREVIEW", "HEARTH_WORKERS=1000": "HEARTH_WORKERS",
		"HEARTH_PREPROCESS_TIMEOUT=1h": "HEARTH_PREPROCESS_TIMEOUT", "HEARTH_CONN_MAX_IDLE=x": "HEARTH_CONN_MAX_IDLE",
		"HEARTH_TLS_CA=/does/not/exist": "HEARTH_TLS_CA: cannot be read: no such file or directory", "HEARTH_TLS_CA=" + strings.Repeat("x", 5000): "HEARTH_TLS_CA: cannot be read: file name too long", "HEARTH_TLS_CA=/dev/null": "HEARTH_TLS_CA: must be a file with PEM certificates",
		"HEARTH_FETCH_ALLOW=a.test,*.b.test": `HEARTH_FETCH_ALLOW: "*.b.test" has a wildcard`, "HEARTH_FETCH_ALLOW=10.0.0.1": `HEARTH_FETCH_ALLOW: "10.0.0.1" is an address, which needs its port`,
		"HEARTH_LOG_LEVEL=loud": "HEARTH_LOG_LEVEL: must be debug, info, warn or error", "HEARTH_STRICT=perhaps": "HEARTH_STRICT: must be true or false",
	} {
		_, err := Read(strings.Split(env, "\n"))
		if err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.HasPrefix(err.Error()+": ", want+": ") {
			t.Errorf("%q: %v, want one fault of %s", env, err, want)
		}
	}
}

func TestWhereWeaviateAnswersGRPC(t *testing.T) {
	for url, want := range map[string]string{
		"https://x1.c0.europe-west3.gcp.weaviate.cloud":     "https://grpc-x1.c0.europe-west3.gcp.weaviate.cloud",
		"https://X1.c0.europe-west3.gcp.Weaviate.Cloud":     "https://grpc-x1.c0.europe-west3.gcp.weaviate.cloud",
		"https://x1.c0.europe-west3.gcp.weaviate.cloud:443": "https://grpc-x1.c0.europe-west3.gcp.weaviate.cloud",
		"https://old.weaviate.network/":                     "https://grpc-old.weaviate.network",
		"http://weaviate:8080":                              "http://weaviate:50051",
		"https://weaviate.example.com/prefix":               "https://weaviate.example.com:50051",
		"http://[::1]:8080":                                 "http://[::1]:50051",
		"https://notweaviate.cloud":                         "https://notweaviate.cloud:50051",
		"":                                                  "",
	} {
		s, err := Read([]string{"HEARTH_WEAVIATE_URL=" + url})
		if err != nil || s.WeaviateGRPCURL != want {
			t.Errorf("%q: %q, want %q, %v", url, s.WeaviateGRPCURL, want, err)
		}
	}
	s, err := Read([]string{"HEARTH_WEAVIATE_URL=https://x.weaviate.cloud", "HEARTH_WEAVIATE_GRPC_URL=http://proxy:443"})
	if err != nil || s.WeaviateGRPCURL != "http://proxy:443" {
		t.Errorf("what is set does not hold: %q, %v", s.WeaviateGRPCURL, err)
	}
}

func TestTheFormsOfURLsAndNames(t *testing.T) {
	for text, want := range map[string]struct{ url, origin, name, class bool }{
		"http://a": {url: true, origin: true}, "https://a:8080/": {url: true, origin: true}, "https://[::1]:1": {url: true, origin: true},
		"https://a/b": {url: true}, "https://a/b@c": {url: true}, "https://a//": {url: true},
		"": {}, "http://": {}, "http:///a": {}, "HTTP://a": {}, "ftp://a": {}, "a": {name: true}, "http://a@b": {}, "http://a/?b": {}, "http://a#b": {},
		"http://a b": {}, "http://a/b c": {}, "http://a:b": {}, "http://a/%zz": {}, "//a": {}, "http:/a": {},
		"_a": {name: true}, "a9_Z": {name: true}, "Az": {name: true, class: true}, "Z": {name: true, class: true}, "_A": {name: true},
		"9a": {}, "a-b": {}, "é": {}, "aé": {}, "A b": {}, "a[": {}, "a`": {}, "a/": {}, "a:": {}, "@a": {}, "{a": {},
	} {
		if got := isURL(text); got != want.url {
			t.Errorf("isURL(%q) is %v", text, got)
		}
		if got := isOrigin(text); got != want.origin {
			t.Errorf("isOrigin(%q) is %v", text, got)
		}
		if got := isName(text); got != want.name {
			t.Errorf("isName(%q) is %v", text, got)
		}
		if got := isClass(text); got != want.class {
			t.Errorf("isClass(%q) is %v", text, got)
		}
	}
}

func TestWhatCannotBeReadIsZero(t *testing.T) {
	const tooLarge = "9223372036854775808"
	s, err := Read([]string{"HEARTH_ODOO_UID=" + tooLarge, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + tooLarge, "HEARTH_TTL_HISTORY=1s/2s/x"})
	if err == nil || s.OdooUID != 0 || s.MemoryMB != 0 || s.TTLHistory != (ttl{}) {
		t.Errorf("%v, %v, %v, %v", s.OdooUID, s.MemoryMB, s.TTLHistory, err)
	}
}

func TestJSONRPCNeedsADatabaseAndAUser(t *testing.T) {
	rpc := []string{"HEARTH_ODOO_URL=https://odoo", "HEARTH_ODOO_KEY=k", "HEARTH_ODOO_PROTOCOL=jsonrpc", "HEARTH_ODOO_DB=d"}
	for _, user := range []string{"HEARTH_ODOO_USER=u", "HEARTH_ODOO_UID=2"} {
		if _, err := Read(append(rpc, user)); err != nil {
			t.Errorf("%s is not enough: %v", user, err)
		}
	}
}

func TestRolesAndHeadersAreRead(t *testing.T) {
	s, err := Read([]string{
		"HEARTH_MESSAGE_ROLES= user | human , assistant|ai|bot ", "HEARTH_WEAVIATE_HEADERS= X-A=a%2C%20b , X-B=, ",
		"HEARTH_MUTE_FIELDS=chat,muted", "HEARTH_MESSAGE_FIELDS=c,r,t,_creationTimeUnix",
	})
	if err != nil {
		t.Fatal(err)
	}
	w := s.Weaviate(nil)
	if !slices.Equal(w.Message.User, []string{"user", "human"}) || !slices.Equal(w.Message.Assistant, []string{"assistant", "ai", "bot"}) {
		t.Errorf("the roles are %q and %q", w.Message.User, w.Message.Assistant)
	}
	if !maps.Equal(w.Headers, map[string]string{"X-A": "a, b", "X-B": ""}) {
		t.Errorf("the headers are %q", w.Headers)
	}
	if w.Mute.Until != "" || w.Message.CreatedAt != weaviate.CreationTime {
		t.Errorf("the classes are %+v and %+v", w.Message, w.Mute)
	}
}

func TestAllFaultsAreListedAtOnce(t *testing.T) {
	s, err := Read([]string{"HEARTH_ADDR=x", "HEARTH_WORKERS=no", "HEARTH_TTL_MUTE=no", "HEARTH_ODOO_DB=d", "HEARTH_WEAVIATE_URI=typo"})
	for _, want := range []string{"HEARTH_ADDR", "HEARTH_WORKERS", "HEARTH_TTL_MUTE", "HEARTH_ODOO_URL"} {
		if err == nil || !strings.Contains(err.Error(), want+": ") {
			t.Errorf("%s is not in %v", want, err)
		}
	}
	if !slices.Equal(s.Unknown, []string{"HEARTH_WEAVIATE_URI"}) {
		t.Errorf("unknown: %v", s.Unknown)
	}
	for range 10 { // a map has no order
		s, _ := Read([]string{"HEARTH_C=1", "HEARTH_A=1", "HEARTH_B=", "HEARTH_D=1", "AWS_E=1", "HEARTH_FETCH_ALLOW=x"})
		if !slices.Equal(s.Unknown, []string{"HEARTH_A", "HEARTH_B", "HEARTH_C", "HEARTH_D"}) {
			t.Fatalf("unknown: %v", s.Unknown)
		}
	}
}

func TestAFaultTakesAwayItsOwnUpstreamOnly(t *testing.T) {
	good := []string{"HEARTH_WEAVIATE_URL=https://w", "HEARTH_ODOO_URL=https://o", "HEARTH_ODOO_KEY=k", "HEARTH_FETCH_ALLOW=a.test"}
	for fault, left := range map[string][3]bool{
		"HEARTH_ODOO_PROTOCOL=x": {true, false, true}, "HEARTH_MESSAGE_CLASS=x": {false, true, true}, "HEARTH_WEAVIATE_TIMEOUT=x": {false, true, true},
		"HEARTH_MUTE_CLASS=x": {false, true, true}, "HEARTH_TLS_CA=/nowhere": {false, false, false}, "HEARTH_WORKERS=x": {false, false, false},
		"HEARTH_FETCH_ALLOW=*": {true, true, false},
	} {
		s, err := Read(append(good, fault))
		s = s.DropFaultyUpstreams(err)
		if got := [3]bool{s.WeaviateURL != "", s.OdooURL != "", len(s.FetchAllow) > 0}; got != left {
			t.Errorf("%s leaves weaviate, odoo, fetch %v, want %v (%v)", fault, got, left, err)
		}
	}
}

func TestListsAreTrimmedAndEmptyIsUnset(t *testing.T) {
	s, err := Read([]string{
		"HEARTH_ODOO_READS=read,\n search_count\n", "HEARTH_ODOO_ROUTES= a\t,b b ", "HEARTH_WORKERS=", "HEARTH_TTL_MUTE=", "HEARTH_MESSAGE_CLASS= \n",
	})
	if err != nil || s.OdooReads[1] != "search_count" || s.OdooRoutes[0] != "a" || s.OdooRoutes[1] != "b b" || s.Workers != 5 ||
		s.TTLMute.Fresh != 5*time.Second || s.MessageClass != "Message" {
		t.Errorf("%+v %v", s, err)
	}
}

// A value that came out of a file or a form with a line's end is the value without it, whatever its type.
func TestWhiteSpaceAroundAValueIsNoPartOfIt(t *testing.T) {
	ca := certificate(t)
	var plain, padded []string
	for name, value := range goodValues(ca) {
		plain = append(plain, name+"="+value)
		if strings.HasPrefix(name, "HEARTH_") {
			value = " \t" + value + "\r\n\u00a0"
		}
		padded = append(padded, name+"="+value)
	}
	want, err := Read(plain)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(padded)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	s, err := Read([]string{"AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "AWS_SESSION_TOKEN= a\nb\n"})
	if err != nil || s.SessionToken != " a\nb\n" {
		t.Errorf("Lambda's own credential is not as it stands: %q, %v", s.SessionToken, err)
	}
}

func FuzzSizeAndTTL(f *testing.F) {
	for _, s := range []string{"32MiB", "1", "9223372036854775807GiB", "-1", "MiB", "1h/24h/24h", "2s", "1s/", "//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var n size
		if n.UnmarshalText([]byte(text)) == nil && n < 0 {
			t.Errorf("size %q is %d", text, n)
		}
		var d ttl
		if d.UnmarshalText([]byte(text)) == nil && (d.Fresh < 0 || d.WhileRevalidate < 0 || d.IfError < 0) {
			t.Errorf("ttl %q is %v", text, d)
		}
	})
}
