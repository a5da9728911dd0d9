// Package secrets asks AWS Secrets Manager and Systems Manager's Parameter Store for the values of settings that name a secret by its
// ARN.
//
// Start reading at [Store.Secret], then [Secret.Value] and [Secret.Renew]. entry.go has one request at a time for each ARN, and not too
// many. ask.go writes the request and reads the answer, keys.go has the credentials that sign it, and arn.go reads ARNs.
//
// The package asks when a value is first needed, and again when an upstream has refused the value. It keeps values in memory only,
// never in a snapshot, and shows none in an error or a log.
package secrets

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"hearth/internal/clock"
	"hearth/pool"
)

// Config of a [Store].
type Config struct {
	// The credentials: keys, or else the URL of a service that gives keys, and the value of the Authorization header for it.
	AccessKeyID, SecretAccessKey, SessionToken string
	KeysURL, KeysToken                         string

	Endpoint  string                // of both services; empty: by partition and region of the ARN
	Endpoints map[string]string     // of one service, by its name in an ARN; overrides Endpoint
	ProxyFor  func(string) *url.URL // the forward proxy on the way to a URL; nil: none
	RootCAs   func() *x509.CertPool // nil: the system's
	Timeout   time.Duration         // of one request, including that for the credentials; default 3s
	Pulse     *clock.Pulse          // notices freezes; nil: there are none
	KeepFrom  uint64                // freezes that must have passed before anything is asked: a snapshot must hold no secret
	Logger    *slog.Logger          // nil discards
}

// Store asks for secrets. It is safe for concurrent use. mu guards the fields below it, and no other lock is taken under mu.
type Store struct {
	cfg    Config
	ctx    context.Context //nolint:containedctx // of the requests, which outlive the callers that wait for them
	cancel context.CancelFunc
	work   sync.WaitGroup            // requests under way
	asks   func(arn) (string, error) // Store.ask, except in tests
	keys   atomic.Pointer[keys]      // that Config.KeysURL gave; nil: none

	mu      sync.Mutex
	closed  bool
	entries map[string]*entry     // by ARN
	pools   map[string]*pool.Pool // by endpoint
}

// New makes a Store. It sends nothing.
func New(cfg Config) *Store {
	cfg.Timeout = cmp.Or(cfg.Timeout, 3*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.ProxyFor == nil {
		cfg.ProxyFor = func(string) *url.URL { return nil }
	}
	cfg.Pulse = cmp.Or(cfg.Pulse, clock.Awake())
	s := &Store{cfg: cfg, entries: map[string]*entry{}, pools: map[string]*pool.Pool{}}
	s.asks = s.ask
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close ends the requests under way. After Close no secret is asked for.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.work.Wait()
	for _, p := range s.pools { // without mu: a closed store makes no pool
		p.Close()
	}
}

// start runs a request in the background, unless the store is closed.
func (s *Store) start(request func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Go(request)
	return true
}

// Secret is the value of one setting. It is a [pool.Secret].
type Secret struct {
	entry    *entry
	variable string // of the setting
	field    string // of a JSON secret; empty: the whole secret

	last atomic.Pointer[extracted]
}

// extracted is the value of a Secret, and the text of its entry from which the value was taken.
type extracted struct {
	from, value string
	err         error
}

// Secret returns the secret that the value of a variable names. Variables that name the same ARN share its requests.
func (s *Store) Secret(variable, value string) (*Secret, error) {
	a, field, err := parse(value)
	if err != nil {
		return nil, &pool.SecretError{Variable: variable, Detail: err.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[a.text]
	if e == nil {
		e = &entry{store: s, arn: a}
		s.entries[a.text] = e
	}
	return &Secret{entry: e, variable: variable, field: field}, nil
}

// Value returns the value. If it is not known yet, Value waits for the service's answer.
func (s *Secret) Value(ctx context.Context) (string, error) {
	text, err := s.entry.get(ctx)
	if err != nil {
		return "", s.fault(err)
	}
	return s.extract(text)
}

// Renew is for a value that an upstream has refused. It asks the service again, unless another value is known by now or the service has
// just been asked, and returns the current value.
func (s *Secret) Renew(ctx context.Context, refused string) (string, error) {
	text, err := s.entry.renew(ctx, func(text string) bool {
		value, err := s.extract(text)
		return err != nil || value != refused
	})
	if err != nil {
		return "", s.fault(err)
	}
	return s.extract(text)
}

func (s *Secret) fault(err error) error {
	f := &pool.SecretError{Variable: s.variable, Detail: err.Error()}
	if r, ok := errors.AsType[*refusal](err); ok {
		f.Retryable = r.retryable
	}
	return f
}

// extract takes the value out of the text of a secret, and remembers it.
func (s *Secret) extract(text string) (string, error) {
	if last := s.last.Load(); last != nil && last.from == text {
		return last.value, last.err
	}
	e := &extracted{from: text}
	var err error
	if e.value, err = valueOf(text, s.field); err != nil {
		e.err = &pool.SecretError{Variable: s.variable, Detail: s.entry.arn.text + " " + err.Error()}
	}
	s.last.Store(e)
	return e.value, e.err
}

// valueOf is the text of a secret, or one field of it.
func valueOf(text, field string) (string, error) {
	if field != "" {
		var fields map[string]any
		in := json.NewDecoder(bytes.NewReader([]byte(text)))
		in.UseNumber()
		if in.Decode(&fields) != nil || !json.Valid([]byte(text)) { // Decode alone would take what begins with an object
			return "", fmt.Errorf("is no JSON object, so it has no field %q", field)
		}
		switch v := fields[field].(type) {
		case string:
			text = v
		case json.Number:
			text = v.String()
		case nil:
			return "", fmt.Errorf("has no field %q", field)
		default:
			return "", fmt.Errorf("has a field %q that is no text", field)
		}
	}
	what := ""
	if field != "" {
		what = fmt.Sprintf("has a field %q that ", field)
	}
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", errors.New(what + "is empty")
	case strings.ContainsFunc(text, unicode.IsControl):
		return "", errors.New(what + "holds control characters")
	}
	return text, nil
}
