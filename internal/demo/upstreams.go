package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hearth/internal/odootest"
	"hearth/internal/testnet"
	"hearth/internal/weaviatetest"
)

const (
	odooDB  = "demo"
	odooKey = "demo-key"
)

// upstreams are the stand-ins, far away and behind TLS.
type upstreams struct {
	weaviate, odoo *testnet.Server
	messages       *weaviatetest.Server
	models         *odootest.Server
	caFile         string // both authorities
}

func startUpstreams(dir string, rtt time.Duration) (*upstreams, error) {
	u := &upstreams{
		messages: weaviatetest.New(), models: odootest.New(odootest.Config{DB: odooDB, Key: odooKey}),
		caFile: filepath.Join(dir, "ca.pem"),
	}
	far := testnet.Config{TLS: true, RTT: rtt}
	var err error
	if u.weaviate, err = testnet.Serve(u.messages, far); err != nil {
		return nil, err
	}
	if u.odoo, err = testnet.Serve(u.models, far); err != nil {
		return nil, errors.Join(err, u.weaviate.Close())
	}
	if err := os.WriteFile(u.caFile, append(u.weaviate.CA, u.odoo.CA...), 0o600); err != nil {
		return nil, errors.Join(err, u.close())
	}
	return u, nil
}

func (u *upstreams) close() error { return errors.Join(u.odoo.Close(), u.weaviate.Close()) }

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
