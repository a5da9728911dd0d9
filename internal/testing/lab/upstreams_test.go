package lab

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hearth/internal/testing/testnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startUpstreams(t *testing.T, cfg UpstreamsConfig) *Upstreams {
	t.Helper()
	u, err := StartUpstreams(t.TempDir(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

func TestUpstreamsAreFarAndCount(t *testing.T) {
	const rtt = 20 * time.Millisecond
	u := startUpstreams(t, UpstreamsConfig{RTT: rtt})
	for i := range 2 {
		trip, err := u.RoundTrip(t.Context())
		if err != nil || trip < rtt {
			t.Errorf("round trip %d: %v, %v", i, trip, err)
		}
	}
	if u.Requests() != 2 || u.Connections() != 1 {
		t.Errorf("%d requests over %d connections", u.Requests(), u.Connections())
	}
	u.WeaviateREST.Wire.Cut(testnet.FIN)
	if _, err := u.RoundTrip(t.Context()); err != nil || u.Connections() != 2 {
		t.Errorf("after a cut: %d connections, %v", u.Connections(), err)
	}
}

func TestUpstreamsWithoutADistanceHaveNoWires(t *testing.T) {
	u := startUpstreams(t, UpstreamsConfig{})
	if _, err := u.RoundTrip(t.Context()); err != nil || u.Connections() != 0 || len(u.Servers()) != 3 {
		t.Errorf("%d connections by wires of %d servers, %v", u.Connections(), len(u.Servers()), err)
	}
}

func TestSettingsNameWhatTheUpstreamsAre(t *testing.T) {
	for _, tc := range []struct {
		name        string
		cfg         UpstreamsConfig
		host, trust string
	}{
		{"as they are", UpstreamsConfig{}, "https://127.0.0.1:", "HEARTH_TLS_CA="},
		{"public authorities", UpstreamsConfig{PublicCA: true}, "https://127.0.0.1:", "SSL_CERT_FILE="},
		{"movable", UpstreamsConfig{RTT: time.Millisecond, Host: "localhost"}, "https://localhost:", "HEARTH_TLS_CA="},
	} {
		u := startUpstreams(t, tc.cfg)
		settings := u.Settings()
		for _, name := range []string{"HEARTH_WEAVIATE_URL=", "HEARTH_WEAVIATE_GRPC_URL=", "HEARTH_ODOO_URL="} {
			if !slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, name+tc.host) }) {
				t.Errorf("%s: no %s%s in %q", tc.name, name, tc.host, settings)
			}
		}
		if !slices.Contains(settings, tc.trust+u.CAFile) {
			t.Errorf("%s: no %s in %q", tc.name, tc.trust, settings)
		}
	}
}

func TestUpstreamsWithoutADistanceCannotMove(t *testing.T) {
	if _, err := StartUpstreams(t.TempDir(), UpstreamsConfig{Host: "localhost"}); err == nil {
		t.Error("they were started")
	}
}

func TestTheWrapperStandsBeforeEveryServer(t *testing.T) {
	var seen int
	u := startUpstreams(t, UpstreamsConfig{Wrap: func(h http.Handler) http.Handler { seen++; return h }})
	if seen != len(u.Servers()) {
		t.Errorf("%d of %d servers are wrapped", seen, len(u.Servers()))
	}
}

func TestRowsThatCannotBeStoredAreErrors(t *testing.T) {
	u := startUpstreams(t, UpstreamsConfig{})
	object := Object{Class: "Message", ID: "00000000-0000-4000-8000-000000000000", Properties: map[string]any{"chat_id": "1"}}
	if err := u.Store(object); err == nil {
		t.Error("an object of no class was stored")
	}
	class := map[string]any{"class": "Message", "properties": []any{map[string]any{"name": "chat_id", "dataType": []string{"text"}}}}
	if _, err := ask(u.Weaviate, "/v1/schema", class); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := u.Store(object); err != nil {
			t.Error(err)
		}
	}
	if _, err := u.CallOdoo("res.partner", "no_such_method", nil); err == nil {
		t.Error("a method that does not exist was called")
	}
	if answer, err := u.CallOdoo("res.partner", "search_count", map[string]any{"domain": []any{}}); err != nil {
		t.Errorf("%s %v", answer, err)
	}
}

func TestARunHasAFolderOfItsOwnAndItsErrorCounts(t *testing.T) {
	var dir string
	err := runIn(t.Context(), "test", func(_ context.Context, d string) error {
		dir = d
		return os.WriteFile(filepath.Join(d, "file"), nil, 0o600)
	})
	if _, gone := os.Stat(dir); err != nil || !os.IsNotExist(gone) {
		t.Errorf("%v, %v", err, gone)
	}
	if err := runIn(t.Context(), "test", func(context.Context, string) error { return os.ErrInvalid }); err == nil {
		t.Error("the run's error is lost")
	}
}
