package pool

import (
	"context"
	"fmt"
	"net/http"

	"hearth/pool/conn"
)

// Secret is a key or a password. Its owner may change it while the process runs.
type Secret interface {
	// Value returns the value. If it is not known yet, Value asks for it. Errors are a *[SecretError].
	Value(ctx context.Context) (string, error)
	// Renew is for a value that an upstream has refused. It returns the current value, which may be the same.
	Renew(ctx context.Context, refused string) (string, error)
}

// Plain is a secret that never changes.
type Plain string

// Value returns it.
func (p Plain) Value(context.Context) (string, error) { return string(p), nil }

// Renew returns it.
func (p Plain) Renew(context.Context, string) (string, error) { return string(p), nil }

// SecretError is a secret whose value is not known. It holds nothing of the value.
type SecretError struct {
	Variable  string // environment variable that names the secret
	Detail    string // why, in the words of the service that keeps it
	Retryable bool   // the service may answer later
}

func (e *SecretError) Error() string { return fmt.Sprintf("%s: %s", e.Variable, e.Detail) }

// Credentials are the headers that authenticate a request. They may change while the process runs.
type Credentials interface {
	// Set puts the current credentials into the header of a request. Errors are a *[SecretError].
	Set(ctx context.Context, header http.Header) error
	// Renew looks at the answer to a request with that header. If the answer refuses the credentials and there are newer ones, Renew
	// returns a copy of the header with the newer ones. Otherwise it returns nil.
	Renew(ctx context.Context, resp *http.Response, header http.Header) http.Header
}

// authorized is the link that puts a request's [Options.Credentials] into its header. An upstream that refuses them has not carried out
// the request. So the request, even a write, is sent once more if there are newer credentials.
type authorized struct{ next http.RoundTripper }

// RoundTrip sends req, whose header it changes, to the next link.
func (a *authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	o := optionsOf(ctx)
	if o.Credentials == nil {
		return a.next.RoundTrip(req)
	}
	if err := o.Credentials.Set(ctx, req.Header); err != nil {
		return nil, &conn.UnsentError{Err: err}
	}
	resp, err := a.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	newer := o.Credentials.Renew(ctx, resp, req.Header)
	if newer == nil {
		return resp, nil
	}
	_ = resp.Body.Close()
	o.countSent(-1)
	again := req.WithContext(ctx)
	again.Header = newer // a try that has lost its race may still read the old header
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	return a.next.RoundTrip(again)
}
