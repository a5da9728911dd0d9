package secrets

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"hearth/internal/clock"
	"hearth/internal/testing/awstest"
	"hearth/internal/testing/testnet"
	"hearth/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	inManager = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/weaviate-AbCdEf"
	inSSM     = "arn:aws:ssm:eu-central-1:123456789012:parameter/prod/odoo"
	token     = "the-container's-token"
)

// testKeys are the double's.
func testKeys() awstest.Keys {
	return awstest.Keys{ID: "AKIDEXAMPLE", Secret: "secret-access-key", Session: "session-token-of-the-function"}
}

// start serves a double, and makes the config of a store that asks it.
func start(t *testing.T) (*awstest.Server, Config) {
	t.Helper()
	double := awstest.New(testKeys(), token)
	server, err := testnet.Serve(double, testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	k := testKeys()
	return double, Config{AccessKeyID: k.ID, SecretAccessKey: k.Secret, SessionToken: k.Session, Endpoint: server.URL}
}

func secretOf(t *testing.T, cfg Config, name string) *Secret {
	t.Helper()
	store := New(cfg)
	t.Cleanup(store.Close)
	return named(t, store, name)
}

func named(t *testing.T, store *Store, name string) *Secret {
	t.Helper()
	s, err := store.Secret("HEARTH_KEY", name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheValueOfASecret(t *testing.T) {
	double, cfg := start(t)
	for _, tc := range []struct {
		name  string
		value any
		want  string // empty: a fault
		fault string
	}{
		{name: inManager, value: "key", want: "key"},
		{name: inManager, value: " key\n", want: "key"},
		{name: inManager + "#user", value: `{"user":"u","n":12,"deep":{"user":"x"},"list":[1],"none":null}`, want: "u"},
		{name: inManager + "#n", value: `{"n":12345678901234567890}`, want: "12345678901234567890"},
		{name: inManager + "#a#b", value: `{"a#b":"c"}`, want: "c"},
		{name: inManager + "#other", value: `{"user":"hunter2"}`, fault: `has no field "other"`},
		{name: inManager + "#none", value: `{"none":null}`, fault: `has no field "none"`},
		{name: inManager + "#deep", value: `{"deep":{"user":"hunter2"}}`, fault: `has a field "deep" that is no text`},
		{name: inManager + "#user", value: "hunter2", fault: "is no JSON object"},
		{name: inManager + "#user", value: `["hunter2"]`, fault: "is no JSON object"},
		{name: inManager + "#user", value: `{"user":"hunter2"} x`, fault: "is no JSON object"},
		{name: inManager + "#user", value: `{"user":" "}`, fault: `has a field "user" that is empty`},
		{name: inManager + "#user", value: `{"user":"hunter2\n3"}`, fault: `has a field "user" that holds control characters`},
		{name: inManager, value: "hunter2\nhunter3", fault: "holds control characters"},
		{name: inManager, value: "hunter2\x7f", fault: "holds control characters"},
		{name: inManager, value: " ", fault: "is empty"},
		{name: inManager, value: []byte("hunter2"), fault: "is binary"},
		{name: inSSM, value: "parameter", want: "parameter"},
		{name: inSSM + "#user", value: `{"user":"u"}`, want: "u"},
	} {
		arn, _, _ := strings.Cut(tc.name, "#")
		double.Set(arn, tc.value)
		got, err := secretOf(t, cfg, tc.name).Value(t.Context())
		e, ok := errors.AsType[*pool.SecretError](err)
		switch {
		case tc.fault == "" && (err != nil || got != tc.want):
			t.Errorf("%s = %q: got %q, %v", tc.name, tc.value, got, err)
		case tc.fault != "" && (!ok || !strings.HasPrefix(e.Error(), "HEARTH_KEY: "+arn) || !strings.Contains(e.Detail, tc.fault) || e.Retryable):
			t.Errorf("%s = %q: got %q, %v", tc.name, tc.value, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the fault shows the value: %v", err)
		}
	}
}

func TestAServicesRefusalIsOneClearFault(t *testing.T) {
	double, cfg := start(t)
	k := testKeys()
	for _, tc := range []struct {
		arn   string
		fail  awstest.Failure
		says  string
		retry bool
	}{
		{inManager, awstest.Failure{Code: "AccessDeniedException", Message: "User: x is not authorized"}, "AccessDeniedException: User: x is not authorized (the function's role needs secretsmanager:GetSecretValue, and kms:Decrypt if", false},
		{inSSM, awstest.Failure{Code: "com.amazonaws.ssm#AccessDeniedException"}, "AccessDeniedException (the function's role needs ssm:GetParameter,", false},
		{inManager, awstest.Failure{Code: "AccessDeniedException", Message: "Access to KMS is not allowed"}, "AccessDeniedException: Access to KMS is not allowed (the function's role needs kms:Decrypt for", false},
		{inManager, awstest.Failure{Code: "ThrottlingException", Message: "Rate exceeded"}, "ThrottlingException: Rate exceeded", true},
		{inManager, awstest.Failure{Status: 500, Code: "InternalServiceError"}, "InternalServiceError", true},
		{inManager, awstest.Failure{Code: "ResourceNotFoundException", Message: "no\x1b[31m such\nsecret " + k.Secret}, "ResourceNotFoundException: no [31m such", false},
		{inManager, awstest.Failure{Code: "<html>", Message: k.Session + k.ID + strings.Repeat("é", 1000)}, "status 400: ……é", false},
	} {
		double.Fail(tc.arn, tc.fail)
		_, err := secretOf(t, cfg, tc.arn).Value(t.Context())
		e, ok := errors.AsType[*pool.SecretError](err)
		if !ok || !strings.HasPrefix(e.Detail, tc.arn+": "+tc.says) || e.Retryable != tc.retry || len(e.Detail) > 1000 {
			t.Errorf("%+v: got %v", tc.fail, err)
		}
		for _, secret := range []string{k.Secret, k.Session, k.ID} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the fault shows the keys: %v", err)
			}
		}
	}
	cfg.SecretAccessKey = "another"
	if _, err := secretOf(t, cfg, inManager).Value(t.Context()); err == nil || !strings.Contains(err.Error(), "InvalidSignatureException") || strings.Contains(err.Error(), k.Session) {
		t.Errorf("signed with another key: %v", err)
	}
}

func TestAServiceThatDoesNotAnswerCostsABoundedTime(t *testing.T) {
	double, cfg := start(t)
	cfg.Timeout = 200 * time.Millisecond
	for name, hook := range map[string]testnet.Hook{
		"hangs": func(_ http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the client leaves
			<-r.Context().Done()
			return true
		},
		"floods": func(w http.ResponseWriter, _ *http.Request) bool {
			for range 1000 {
				if _, err := w.Write(make([]byte, 10_000)); err != nil {
					break
				}
			}
			return true
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte("<html>")); return true },
		"nothing": func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte("{}")); return true },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://elsewhere.example", http.StatusTemporaryRedirect)
			return true
		},
	} {
		double.SetHook(hook)
		_, err := secretOf(t, cfg, inManager).Value(t.Context())
		if e, ok := errors.AsType[*pool.SecretError](err); !ok || e.Variable != "HEARTH_KEY" || e.Retryable != (name == "hangs" || name == "no JSON") {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg.Endpoint = "http://127.0.0.1:1"
	if _, err := secretOf(t, cfg, inManager).Value(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("down: %v", err)
	}
	cfg.Endpoint = "http://user:hunter2@x"
	if _, err := secretOf(t, cfg, inManager).Value(t.Context()); err == nil || !strings.Contains(err.Error(), "AWS_ENDPOINT_URL") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a faulty endpoint: %v", err)
	}
}

func TestACallerThatLeavesDoesNotEndTheRequest(t *testing.T) {
	double, cfg := start(t)
	double.Set(inManager, "key")
	asked, answer := make(chan struct{}), make(chan struct{})
	double.SetHook(func(http.ResponseWriter, *http.Request) bool { close(asked); <-answer; return false })
	s := secretOf(t, cfg, inManager)
	ctx, leave := context.WithCancel(t.Context())
	var early sync.WaitGroup
	early.Go(func() {
		if _, err := s.Value(ctx); err == nil || !strings.Contains(err.Error(), "not answered in time") {
			t.Errorf("who left got %v", err)
		}
	})
	<-asked
	leave()
	early.Wait()
	close(answer)
	double.SetHook(nil)
	if got, err := s.Value(t.Context()); got != "key" || err != nil || double.Asked(inManager) != 1 {
		t.Errorf("got %q, %v after %d requests", got, err, double.Asked(inManager))
	}
}

func TestKeysComeFromTheContainersAddress(t *testing.T) {
	double, cfg := start(t)
	double.Set(inManager, "key")
	at := cfg.Endpoint + awstest.KeysPath
	with := func(change func(*Config)) *Secret {
		c := Config{Endpoint: cfg.Endpoint, KeysURL: at, KeysToken: token}
		change(&c)
		return secretOf(t, c, inManager)
	}
	requests := func() int { return double.Requests()[awstest.KeysPath] }
	s := with(func(*Config) {})
	if got, err := s.Value(t.Context()); got != "key" || err != nil || requests() != 1 {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := s.Renew(t.Context(), "key"); err != nil || requests() != 1 {
		t.Errorf("%v; the keys were asked for %d times", err, requests())
	}
	double.Expire(time.Minute) // sooner than they are to be trusted
	s = with(func(*Config) {})
	_, _ = s.Value(t.Context())
	if _, err := s.Renew(t.Context(), "key"); err != nil || requests() != 3 {
		t.Errorf("%v; the keys were asked for %d times", err, requests())
	}
	for what, change := range map[string]func(*Config){
		"answers 403":                        func(c *Config) { c.KeysToken = "hunter2" },
		"must be https://":                   func(c *Config) { c.KeysURL = "http://10.0.0.1/" },
		"no answer from http://127.0.0.1:1:": func(c *Config) { c.KeysURL = "http://127.0.0.1:1/" },
		"there are no AWS credentials":       func(c *Config) { c.KeysURL = "" },
		"answers 400":                        func(c *Config) { c.KeysURL = strings.TrimSuffix(at, awstest.KeysPath) + "/x" },
	} {
		_, err := with(change).Value(t.Context())
		if err == nil || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), token) {
			t.Errorf("want %q, got %v", what, err)
		}
	}
}

func TestNothingIsAskedForBeforeASnapshotIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pulse := clock.NewPulse(nil)
		store := New(Config{Pulse: pulse, KeepFrom: 1})
		defer store.Close()
		s := named(t, store, inManager)
		_, err := s.Value(t.Context())
		if e, ok := errors.AsType[*pool.SecretError](err); !ok || !e.Retryable || !strings.Contains(e.Detail, "before the snapshot is restored") {
			t.Errorf("got %v", err)
		}
		store.asks = func(arn) (string, error) { return "key", nil }
		time.Sleep(clock.Gap) // the restore
		if got, err := s.Value(t.Context()); got != "key" || err != nil {
			t.Errorf("after the restore: %q, %v", got, err)
		}
	})
}

func TestSecretsGoThroughTheProxyButTheContainersAddressDoesNot(t *testing.T) {
	double, cfg := start(t)
	double.Set(inManager, "key")
	proxy, err := testnet.NewForward(testnet.ForwardConfig{Hosts: map[string]string{"secrets.internal:80": strings.TrimPrefix(cfg.Endpoint, "http://")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := secretOf(t, Config{
		Endpoint: "http://secrets.internal", KeysURL: cfg.Endpoint + awstest.KeysPath, KeysToken: token, ProxyFor: func(string) *url.URL { return at },
	}, inManager)
	if got, err := s.Value(t.Context()); got != "key" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got := proxy.Tunnels(); len(got) != 1 || got["secrets.internal:80"] != 1 {
		t.Errorf("tunnels %v", got)
	}
}
