package settings

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"hearth/internal/testing/testnet"
	"hearth/pool"
)

// TestMain gives the system one root certificate, whatever the machine has.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hearth")
	if err != nil {
		panic(err)
	}
	server, err := testnet.Serve(http.NotFoundHandler(), testnet.Config{TLS: true})
	if err != nil {
		panic(err)
	}
	roots := filepath.Join(dir, "roots.pem")
	err = errors.Join(server.Close(), os.WriteFile(roots, server.CA, 0o600), os.Setenv("SSL_CERT_FILE", roots), os.Setenv("SSL_CERT_DIR", dir))
	if err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// certificate is a PEM file.
func certificate(t *testing.T) string {
	t.Helper()
	server, err := testnet.Serve(http.NotFoundHandler(), testnet.Config{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, server.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	return ca
}

// goodValues has one for each variable, which is not its default.
func goodValues(ca string) map[string]string {
	return map[string]string{
		"HEARTH_ADDR": "[::1]:1", "HEARTH_SOCKET": "/tmp/x", "HEARTH_TOKEN": "t",
		"HEARTH_WEAVIATE_URL": "https://weaviate:8080/prefix", "HEARTH_WEAVIATE_GRPC_URL": "https://grpc:1", "HEARTH_WEAVIATE_API_KEY": "k",
		"HEARTH_WEAVIATE_HEADERS": "X-Key=a%2Cb", "HEARTH_MESSAGE_ROLES": "user|human,ai", "HEARTH_WEAVIATE_CONNECTIONS": "256",
		"HEARTH_WEAVIATE_TIMEOUT": "250ms", "HEARTH_WEAVIATE_CONSISTENCY": "QUORUM", "HEARTH_WEAVIATE_TENANT": "t", "HEARTH_WEAVIATE_VECTOR": "v",
		"HEARTH_MESSAGE_CLASS": "Msg", "HEARTH_MESSAGE_FIELDS": "a,b,c,_d", "HEARTH_MUTE_CLASS": "M1", "HEARTH_MUTE_FIELDS": "x,y,z",
		"HEARTH_ODOO_URL": "http://odoo", "HEARTH_ODOO_DB": "d", "HEARTH_ODOO_USER": "u", "HEARTH_ODOO_KEY": "k", "HEARTH_ODOO_UID": "7",
		"HEARTH_ODOO_PROTOCOL": "jsonrpc", "HEARTH_ODOO_LANG": "sr@latin", "HEARTH_ODOO_CONNECTIONS": "1", "HEARTH_ODOO_TIMEOUT": "15m", "HEARTH_ODOO_MODELS": "sale.order,x_y",
		"HEARTH_ODOO_ROUTES": "r", "HEARTH_ODOO_READS": "read,my_read",
		"HEARTH_TTL_HISTORY": "0s", "HEARTH_TTL_RELEVANT": "1s/2s/3s", "HEARTH_TTL_MUTE": "1h", "HEARTH_TTL_ODOO_READ": "1ns", "HEARTH_TTL_ODOO_MODELS": "1m",
		"HEARTH_CACHE_BYTES": "256KiB", "HEARTH_TIMELINE_WINDOW": "1000", "HEARTH_HISTORY_PREVIEW": "1",
		"HEARTH_WORKERS": "64", "HEARTH_PREPROCESS_TIMEOUT": "1s", "HEARTH_MAX_BODY": "64MiB",
		"HEARTH_CONN_MAX_IDLE": "1s", "HEARTH_FETCH_ALLOW": "api.example.com, http://10.1.2.3:80", "HEARTH_TLS_CA": ca, "HEARTH_LOG_LEVEL": "debug", "HEARTH_STRICT": "true",
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "s", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost/x",
		"AWS_ENDPOINT_URL": "http://aws", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://sm", "AWS_ENDPOINT_URL_SSM": "http://ssm",
		"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_SESSION_TOKEN": "s", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "c",
		"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
		"HEARTH_PROXY": "http://u:p@proxy:3128", "HTTPS_PROXY": "http://other:1", "https_proxy": "http://third:2", "NO_PROXY": "a", "no_proxy": "b",
		"HEARTH_AFTER_INVOKE_BUDGET": "50ms", "GODEBUG": "x=y", "HEARTH_DEADLINE_MARGIN": "1s",
	}
}

// Every variable that settings name is read, by that name, and good values are taken.
func TestEveryVariableIsRead(t *testing.T) {
	good := goodValues(certificate(t))
	var environ []string
	for name, value := range good {
		environ = append(environ, name+"="+value)
	}
	environ = append(environ, "HEARTH=1", "OTHER=1")
	got, err := Read(environ)
	if err != nil || len(got.Unknown) != 0 || got.Roots() == nil || got.Roots()() == nil {
		t.Fatalf("%v; unknown %v", err, got.Unknown)
	}
	byDefault, err := Read(nil)
	if err != nil {
		t.Fatal(err)
	}
	for f := range reflect.TypeFor[Settings]().Fields() {
		name := f.Tag.Get("env")
		if name == "" {
			continue
		}
		if _, ok := good[name]; !ok {
			t.Errorf("this test has no value for %s", name)
			continue
		}
		read := func(s Settings) any { return reflect.ValueOf(s).FieldByIndex(f.Index).Interface() }
		if reflect.DeepEqual(read(got), read(byDefault)) {
			t.Errorf("%s=%s changes nothing: %v", name, good[name], read(got))
		}
	}
}

// Whatever passes for a URL makes a pool: else the fault would show late, and not by its variable.
func FuzzURLsThatPassMakeAPool(f *testing.F) {
	for _, s := range []string{
		"http://a", "https://a:1/b", "http://[::1]:80/", "http://a:port", "http://a/%zz", "http://u:p@a", "http://a?b", "http://a#", "http:///x",
		"HTTP://a", "http://a\x7f", "http://a b", "http://%41", "http://[::1", "http://:80", "ftp://a", "http://a:99999",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := pool.New(pool.Config{Name: "upstream", URL: text})
		if err == nil {
			p.Close()
		}
		if isURL(text) && err != nil {
			t.Errorf("%q passes for a URL, but %v", text, err)
		}
	})
}
