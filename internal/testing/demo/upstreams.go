package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

const (
	odooDB  = "demo"
	odooKey = "demo-key"
)

// upstreams are the stand-ins, far away and behind TLS.
type upstreams struct {
	rest, grpc *testnet.Server // of Weaviate
	odoo       *testnet.Server
	messages   *weaviatetest.Server
	models     *odootest.Server
	work       work
	wire       *http.Client // with a connection to the REST API that stays open
	caFile     string       // all authorities
}

func startUpstreams(dir string, rtt time.Duration) (u *upstreams, err error) {
	u = &upstreams{
		messages: weaviatetest.New(), models: odootest.New(odootest.Config{DB: odooDB, Key: odooKey}),
		caFile: filepath.Join(dir, "ca.pem"),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, u.close())
		}
	}()
	far := testnet.Config{TLS: true, RTT: rtt}
	if u.rest, err = testnet.Serve(u.work.of(u.messages), far); err != nil {
		return u, err
	}
	if u.odoo, err = testnet.Serve(u.work.of(u.models), far); err != nil {
		return u, err
	}
	far.HTTP2 = true
	if u.grpc, err = testnet.Serve(u.work.of(u.messages), far); err != nil {
		return u, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(u.rest.CA)
	u.wire = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	return u, os.WriteFile(u.caFile, slices.Concat(u.rest.CA, u.grpc.CA, u.odoo.CA), 0o600)
}

func (u *upstreams) close() (err error) {
	if u.wire != nil {
		u.wire.CloseIdleConnections()
	}
	for _, s := range []*testnet.Server{u.rest, u.grpc, u.odoo} {
		if s != nil {
			err = errors.Join(err, s.Close())
		}
	}
	return err
}

// roundTrip is what one takes in truth, on a machine with other things to do: a request whose answer is empty.
func (u *upstreams) roundTrip(ctx context.Context) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.rest.URL+"/v1/.well-known/live", http.NoBody)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	resp, err := u.wire.Do(req)
	if err != nil {
		return 0, err
	}
	return time.Since(began), resp.Body.Close()
}

// work is how long the stand-ins took for the slowest request. That is the server's time, which nobody can save.
type work struct {
	mu      sync.Mutex
	longest time.Duration // guarded by mu
}

// of serves h and takes its time.
func (k *work) of(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		defer func() {
			took := time.Since(began)
			k.mu.Lock()
			defer k.mu.Unlock()
			k.longest = max(k.longest, took)
		}()
		h.ServeHTTP(w, r)
	})
}

// take returns the longest time since the last call.
func (k *work) take() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer func() { k.longest = 0 }()
	return k.longest
}

// requests is how many came to both.
func (u *upstreams) requests() (n int) {
	for _, k := range []*testnet.Knobs{&u.messages.Knobs, &u.models.Knobs} {
		for _, count := range k.Requests() {
			n += count
		}
	}
	return n
}

// seed gives a chat a past of 20 turns, beside a few that are somebody else's, without the way over the wire.
func (u *upstreams) seed(n int) error {
	type object struct {
		Class      string         `json:"class"`
		ID         string         `json:"id"`
		Properties map[string]any `json:"properties"`
	}
	const turns = 20
	chat, begin := chatID(n), time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	id := func(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%06d%06d", n, i) }
	objects := []object{{"ChatStatus", id(0), map[string]any{"chat_id": chat, "muted": n%3 == 0}}}
	for i := range turns {
		said := map[string]string{
			"user":      fmt.Sprintf("Where is parcel number %d of our order? It should have been here on day %d.", n+i, i),
			"assistant": fmt.Sprintf("Parcel number %d is in %s, and comes tomorrow.", n+i, []string{"Ghent", "Lyon", "Porto", "Turin"}[i%4]),
		}
		for j, role := range []string{"user", "assistant"} {
			objects = append(objects, object{"Message", id(1 + 2*i + j), map[string]any{
				"chat_id": chat, "role": role, "content": said[role],
				"created_at": begin.Add(time.Duration(2*i+j) * time.Second).Format(time.RFC3339),
			}})
		}
	}
	body := encode(map[string]any{"objects": objects})
	req := httptest.NewRequest(http.MethodPost, "/v1/batch/objects", strings.NewReader(body)) //nolint:noctx // goes nowhere
	req.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	u.messages.ServeHTTP(answer, req)
	if text, err := io.ReadAll(answer.Body); err != nil || answer.Code != http.StatusOK || strings.Contains(string(text), `"errors":{`) {
		return fmt.Errorf("seeding: %d %s", answer.Code, text)
	}
	return nil
}

func chatID(n int) string { return fmt.Sprintf("chat/%d", n) }
