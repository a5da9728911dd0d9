package weaviate

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"hearth/pool"
)

// turning is a secret that has a new value once it is renewed.
type turning struct{ old, newer string }

func (s turning) Value(context.Context) (string, error) { return s.old, nil }

func (s turning) Renew(context.Context, string) (string, error) {
	if s.newer == "" {
		return "", errors.New("down")
	}
	return s.newer, nil
}

func TestWhichAnswersRefuseTheCredentials(t *testing.T) {
	grpc := func(code, message string) http.Header {
		return http.Header{"Grpc-Status": {code}, "Grpc-Message": {message}}
	}
	for name, tc := range map[string]struct {
		status  int
		trailer http.Header
		body    string
		refused bool
	}{
		"REST":                         {status: 401, refused: true},
		"gRPC":                         {status: 200, trailer: grpc("2", "extract auth: unauthorized: invalid api key"), refused: true},
		"gRPC, percent-encoded":        {status: 200, trailer: grpc("2", "extract%20auth%3A no"), refused: true},
		"Unauthenticated":              {status: 200, trailer: grpc("16", ""), refused: true},
		"a vectorizer's provider":      {status: 200, trailer: grpc("2", "vectorize params: connection to: OpenAI API failed with status: 401 error: no"), refused: true},
		"the same of a written object": {status: 200, body: `[{"result":{"errors":{"error":[{"message":"connection to: OpenAI API failed with status: 401"}]}}}]`, refused: true},
		"a gateway":                    {status: 403, body: "Invalid API key", refused: true},
		"rights over REST":             {status: 403, body: "rbac: authorization, forbidden action"},
		"rights over gRPC":             {status: 200, trailer: grpc("7", "rbac: forbidden")},
		"a class that is missing":      {status: 200, trailer: grpc("2", "could not find class")},
		"well":                         {status: 200, body: "[]"},
		"well over gRPC":               {status: 200, trailer: grpc("0", ""), body: "extract auth:"},
		"the server fails":             {status: 500, body: "api key"},
	} {
		resp := &http.Response{StatusCode: tc.status, Header: http.Header{}, Trailer: tc.trailer, Body: inMemory{strings.NewReader(tc.body)}}
		c := newCredentials(Config{SecretKey: turning{"old", "newer"}, SecretHeaders: map[string]pool.Secret{"x-key": turning{"a", ""}}, Headers: map[string]string{"X-Other": "b"}})
		sent := http.Header{}
		if err := c.Set(t.Context(), sent); err != nil {
			t.Fatal(err)
		}
		newer := c.Renew(t.Context(), resp, sent)
		if (newer != nil) != tc.refused || sent.Get("Authorization") != "Bearer old" {
			t.Errorf("%s: %v", name, newer)
		}
		if tc.refused && (newer.Get("Authorization") != "Bearer newer" || newer.Get("X-Key") != "a" || newer.Get("X-Other") != "b") {
			t.Errorf("%s: sent again with %v", name, newer)
		}
		if body, err := io.ReadAll(resp.Body); string(body) != tc.body || err != nil {
			t.Errorf("%s: %q, %v is left of the body", name, body, err)
		}
	}
}

// inMemory is a body as a pool makes it.
type inMemory struct{ *strings.Reader }

func (inMemory) Close() error { return nil }
