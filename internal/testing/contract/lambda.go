package contract

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hearth/internal/testing/lambdatest"
)

// extension starts the binary as a sandbox's extension and returns it as a sidecar to ask.
func (s *suite) extension(t *testing.T, cfg lambdatest.Config, env ...string) (*lambdatest.Host, *lambdatest.Process, *hearth) {
	t.Helper()
	host, err := lambdatest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	h, own := newHearth(t)
	if err := os.Chmod(filepath.Dir(h.socket), 0o777); err != nil { // the extension may be another user's
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(lambdatest.SessionToken))
	mac.Write([]byte("hearth"))
	h.token = hex.EncodeToString(mac.Sum(nil))
	p, err := host.StartExtension(t.Context(), s.bin, slices.Concat(s.env(), own, env)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := host.WaitReady(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	return host, p, h
}

func (s *suite) lambda(t *testing.T) {
	t.Run("an extension serves from registration to shutdown", func(t *testing.T) {
		host, p, h := s.extension(t, lambdatest.Config{})
		for name, h := range map[string]*hearth{"TCP": h, "the socket": h.overSocket()} {
			wantProblem(t, h.get(t, chatPath("lambda", "mute"), "X-Hearth-Token", ""), http.StatusUnauthorized)
			wantProblem(t, h.get(t, chatPath("lambda", "mute"), "X-Hearth-Token", lambdatest.SessionToken), http.StatusUnauthorized)
			if h.say(t, "lambda", "user", name); len(h.history(t, "lambda", 10).AllMessages) == 0 {
				t.Errorf("over %s a write is not read", name)
			}
		}
		if err := p.Stop(t.Context()); err != nil { // also if that takes longer than Lambda allows
			t.Errorf("%v\n%s", err, p.Log())
		}
		if _, err := os.Stat(h.socket); err == nil {
			t.Error("the socket is left behind")
		}
		if reports := host.Reports(); len(reports) != 0 {
			t.Errorf("Lambda was told %v", reports)
		}
		checkLog(t, p.Log())
		if strings.Contains(p.Log(), h.token) || strings.Contains(p.Log(), s.OdooKey) {
			t.Error("the log has a secret")
		}
	})
	t.Run("a configuration that is wrong fails calls, not the function", func(t *testing.T) {
		_, p, h := s.extension(t, lambdatest.Config{}, "HEARTH_WORKERS=many")
		r := wantProblem(t, h.get(t, chatPath("lambda", "history")), http.StatusServiceUnavailable)
		if !strings.Contains(r.Detail, "HEARTH_WORKERS") {
			t.Errorf("the problem is %+v", r)
		}
		if err := p.Stop(t.Context()); err != nil {
			t.Errorf("%v\n%s", err, p.Log())
		}
	})
	t.Run("where the function is managed it registers all the same", func(t *testing.T) {
		_, p, h := s.extension(t, lambdatest.Config{Init: lambdatest.ManagedInstances})
		h.history(t, "lambda", 1)
		if err := p.Stop(t.Context()); err != nil {
			t.Errorf("%v\n%s", err, p.Log())
		}
	})
	t.Run("an upstream that is away does not keep the sandbox from starting", func(t *testing.T) {
		_, p, h := s.extension(t, lambdatest.Config{}, append(weaviateAt("http://"+freeAddress(t)), "HEARTH_ODOO_URL=http://"+freeAddress(t))...)
		wantProblem(t, h.get(t, chatPath("lambda", "history")), http.StatusBadGateway)
		if err := p.Stop(t.Context()); err != nil {
			t.Errorf("%v\n%s", err, p.Log())
		}
	})
}
