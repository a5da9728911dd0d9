package contract

import (
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"hearth/client"
	"hearth/client/wire"
	"hearth/internal/testing/testnet"
)

// fetch asks a host through the sidecar, and hosts that it must not ask.
func (s *suite) fetch(t *testing.T) {
	var asked atomic.Int64
	other, err := testnet.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		w.Header().Set("Cache-Control", "max-age=3600")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %d", r.Method, n)
	}), testnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	_, port, err := net.SplitHostPort(other.Addr)
	if err != nil {
		t.Fatal(err)
	}
	h := s.start(t, "HEARTH_FETCH_ALLOW=example.com, http://"+other.Addr, "HTTPS_PROXY=http://127.0.0.1:1", "HTTP_PROXY=http://127.0.0.1:1")
	for _, want := range []string{"GET 1", "GET 1"} {
		got := wantFetched(t, h.post(t, wire.PathFetch, client.FetchRequest{URL: other.URL + "/"}))
		if got.Status != http.StatusTeapot || got.Body != want {
			t.Errorf("got %+v, want %s", got, want)
		}
	}
	if got := wantFetched(t, h.post(t, wire.PathFetch, client.FetchRequest{URL: other.URL + "/", Method: "POST", Body: "x"})); got.Body != "POST 2" {
		t.Errorf("got %+v", got)
	}
	job := want[client.Job](t, h.post(t, wire.PathFetch, client.FetchRequest{URL: other.URL + "/?to=/", Async: true}), http.StatusAccepted).Job
	if got := wantFetched(t, h.get(t, "/v1/jobs/"+job+"?wait_ms=10000")); got.Body != "GET 1" {
		t.Errorf("the job brought %+v", got)
	}
	wantProblem(t, h.get(t, "/v1/jobs/"+job), http.StatusNotFound)
	for _, address := range []string{
		"http://localhost:" + port + "/", "https://" + other.Addr + "/", other.URL + "/?to=http://169.254.169.254/", other.URL + "/?to=//localhost:" + port + "/", "http://user@" + other.Addr + "/",
		"http://169.254.169.254/latest/meta-data/", "https://evil.test/", "ftp://example.com/",
	} {
		p := wantProblem(t, h.post(t, wire.PathFetch, client.FetchRequest{URL: address}), http.StatusForbidden)
		if p.Kind() != wire.KindNotAllowed || p.Detail == "" {
			t.Errorf("%s: %+v", address, p)
		}
	}
	if p := wantProblem(t, h.post(t, wire.PathFetch, client.FetchRequest{URL: "no url"}), http.StatusBadRequest); p.Field != "url" {
		t.Errorf("%+v", p)
	}
	p := wantProblem(t, s.common.post(t, wire.PathFetch, client.FetchRequest{URL: other.URL + "/"}), http.StatusServiceUnavailable)
	if p.Kind() != wire.KindNotConfigured {
		t.Errorf("%+v", p)
	}
}

func wantFetched(t *testing.T, r reply) client.Fetched {
	t.Helper()
	return want[client.Fetched](t, r, http.StatusOK)
}
