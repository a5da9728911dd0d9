package weaviate

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"hearth/pool"
)

// credentials are the headers that authenticate requests: the key, and the keys of vectorizers. It is a [pool.Credentials].
//
// If the value of a secret header is not known yet, only the requests that need a vectorizer wait for it ([withVectorizer]). The others are
// sent without it. Every request waits for the key.
//
// mu guards shown.
type credentials struct {
	fixed   http.Header       // never changed
	secrets map[string]header // by name

	mu    sync.Mutex
	shown []string // the values that were sent last; hide removes them from messages
}

// header is one header: a prefix and a secret.
type header struct {
	prefix string
	secret pool.Secret
}

const (
	leastSecret = 8  // bytes: a shorter value may be a common word, and is not hidden
	mostShown   = 16 // values that are remembered
)

// key is the header of the server's own key.
const key = "Authorization"

func newCredentials(cfg Config) *credentials {
	c := &credentials{fixed: http.Header{}, secrets: map[string]header{}}
	for name, value := range cfg.Headers {
		c.fixed.Set(name, value)
		c.show(value)
	}
	for name, secret := range cfg.SecretHeaders {
		c.secrets[http.CanonicalHeaderKey(name)] = header{secret: secret}
	}
	switch {
	case cfg.SecretKey != nil:
		c.secrets[key] = header{"Bearer ", cfg.SecretKey}
		c.fixed.Del(key)
	case cfg.APIKey != "":
		c.fixed.Set(key, "Bearer "+cfg.APIKey)
		c.show(cfg.APIKey)
		delete(c.secrets, key)
	}
	return c
}

// with returns ctx for requests that carry the credentials.
func (c *credentials) with(ctx context.Context) context.Context {
	return pool.With(ctx, pool.Options{Credentials: c})
}

type needsVectorizer struct{}

// withVectorizer returns ctx for requests that may need a vectorizer, and with it the vectorizer's key.
func withVectorizer(ctx context.Context) context.Context {
	return context.WithValue(ctx, needsVectorizer{}, true)
}

// Set puts the current credentials into the header of a request.
func (c *credentials) Set(ctx context.Context, into http.Header) error {
	maps.Copy(into, c.fixed)
	if len(c.secrets) == 0 {
		return nil
	}
	unwaited, end := context.WithCancel(ctx)
	end()
	for name, h := range c.secrets {
		needed, asking := true, ctx
		if name != key && ctx.Value(needsVectorizer{}) == nil {
			needed, asking = false, unwaited // Value asks for the secret, and does not wait
		}
		value, err := h.secret.Value(asking)
		switch {
		case err != nil && needed:
			return err
		case err != nil:
			continue
		}
		c.show(value)
		into[name] = []string{h.prefix + value}
	}
	return nil
}

// Renew returns newer credentials if the answer refuses those in sent, and there are any.
func (c *credentials) Renew(ctx context.Context, resp *http.Response, sent http.Header) http.Header {
	if len(c.secrets) == 0 || !refused(resp) {
		return nil
	}
	var newer http.Header
	renew := func(name string) {
		h := c.secrets[name]
		had := strings.TrimPrefix(sent.Get(name), h.prefix)
		value, err := h.secret.Renew(ctx, had)
		if err != nil || value == had {
			return // the refusal is the answer; if the secret cannot be asked for, package secrets logs why
		}
		if newer == nil {
			newer = sent.Clone()
		}
		c.show(value)
		newer[name] = []string{h.prefix + value}
	}
	for name := range c.secrets {
		if sent.Get(name) != "" {
			renew(name)
		}
	}
	for name := range c.secrets {
		if sent.Get(name) == "" && newer == nil { // the request went without it: perhaps that is why it was refused
			renew(name)
		}
	}
	return newer
}

// refused says that an answer refuses the credentials as not valid. The refusal may come from the server, from a proxy before it, or from
// a vectorizer's provider. Missing rights are no such refusal.
func refused(resp *http.Response) bool {
	if resp.StatusCode == http.StatusUnauthorized {
		return true
	}
	const provider = "failed with status: 401" // as Weaviate reports the provider's answer
	switch status := grpcHeader(resp, "Grpc-Status"); status {
	case "":
	case "16": // Unauthenticated
		return true
	default:
		text, err := url.PathUnescape(grpcHeader(resp, "Grpc-Message"))
		return err == nil && (strings.Contains(text, "extract auth:") || strings.Contains(text, provider))
	}
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusOK {
		return false
	}
	body, ok := resp.Body.(io.ReadSeeker) // it is in memory
	if !ok {
		return false
	}
	text, err := io.ReadAll(body)
	if _, rewound := body.Seek(0, io.SeekStart); err != nil || rewound != nil {
		return false
	}
	if resp.StatusCode == http.StatusOK {
		return bytes.Contains(text, []byte(provider)) // in the result of an object of a batch
	}
	return bytes.Contains(bytes.ToLower(text), []byte("api key")) || bytes.Contains(bytes.ToLower(text), []byte("api-key"))
}

// grpcHeader is a trailer of an answer of gRPC. Without a message it comes as a header.
func grpcHeader(resp *http.Response, name string) string {
	if value := resp.Trailer.Get(name); value != "" {
		return value
	}
	return resp.Header.Get(name)
}

// show remembers a value that is sent.
func (c *credentials) show(value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(value) < leastSecret || slices.Contains(c.shown, value) {
		return
	}
	c.shown = append(c.shown, value)
	c.shown = c.shown[max(0, len(c.shown)-mostShown):]
}

// hide removes the values that were sent from a message.
func (c *credentials) hide(message string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, value := range c.shown {
		message = strings.ReplaceAll(message, value, "…")
	}
	return message
}
