package client_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/client"
	"hearth/client/wire"
)

func TestFetchAndItsJobs(t *testing.T) {
	r := newReal(t)
	c := newClient(t, client.Config{Addr: r.addr, Token: token})
	for _, q := range []struct {
		client.FetchRequest
		want string
	}{
		{client.FetchRequest{Headers: map[string]string{"X-Key": "k"}, Async: true}, "GET "},
		{client.FetchRequest{Method: "POST", Body: "text", Headers: map[string]string{"X-Key": "k"}, TimeoutMS: 5000}, "POST text"},
		{client.FetchRequest{Method: "PUT", Body: "\xff", Headers: map[string]string{"X-Key": "k"}}, "PUT \xff"},
	} {
		q.URL = r.other.URL + "/"
		f, err := c.Fetch(t.Context(), q.FetchRequest)
		must(t, err)
		if f.Status != 200 || string(f.Bytes()) != q.want || f.Headers["X-Key"] != "k" {
			t.Errorf("%+v brings %+v", q, f)
		}
		job, err := c.StartFetch(t.Context(), q.FetchRequest)
		must(t, err)
		f, err = c.Job(t.Context(), job, 10*time.Second)
		must(t, err)
		if f.Status != 200 || string(f.Bytes()) != q.want {
			t.Errorf("as a job %+v brings %+v", q, f)
		}
		_, err = c.Job(t.Context(), job, 0)
		if p, ok := errors.AsType[*client.Problem](err); !ok || p.Kind() != wire.KindNoSuchJob {
			t.Errorf("a job that was read: %v", err)
		}
	}
	job, err := c.StartFetch(t.Context(), client.FetchRequest{URL: r.other.URL + "/waits"})
	must(t, err)
	for _, wait := range []time.Duration{0, 10 * time.Millisecond} {
		if f, err := c.Job(t.Context(), job, wait); !errors.Is(err, client.ErrPending) {
			t.Errorf("a pending job is %+v, %v", f, err)
		}
	}
	impatient := newClient(t, client.Config{Addr: r.addr, Token: token, Timeout: 100 * time.Millisecond})
	start := time.Now()
	if _, err := impatient.Job(t.Context(), job, 500*time.Millisecond); !errors.Is(err, client.ErrPending) || time.Since(start) < 500*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	_, err = c.Fetch(t.Context(), client.FetchRequest{URL: "http://169.254.169.254/"})
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Kind() != wire.KindNotAllowed || p.Status != 403 {
		t.Errorf("%v", err)
	}
	if _, err := c.StartFetch(t.Context(), client.FetchRequest{}); err == nil {
		t.Error("a fetch without a URL was started")
	}
}

// A result whose answer broke may be lost, and then the error of the second try says so.
func TestAJobThatIsGoneAfterABrokenAnswerSaysSo(t *testing.T) {
	gone := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(wire.NewProblem(wire.KindNoSuchJob, "read"))
	}
	f := newFake(t, hangUp, gone, gone)
	c := newClient(t, client.Config{Addr: f.addr()})
	for _, broke := range []bool{true, false} {
		_, err := c.Job(t.Context(), "j", 0)
		p, ok := errors.AsType[*client.Problem](err)
		if !ok || p.Kind() != wire.KindNoSuchJob || strings.Contains(p.Detail, "broke") != broke {
			t.Errorf("broke %t: %v", broke, err)
		}
	}
}
