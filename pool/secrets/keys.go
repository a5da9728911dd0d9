package secrets

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"hearth/pool"
)

// keys sign a request. secret is never sent; id and session are.
type keys struct {
	id, secret, session string
	expires             time.Time
}

// beforeExpiry is how long before their expiry keys are no longer used.
const beforeExpiry = 5 * time.Minute

// currentKeys are the configured keys, or those that Config.KeysURL gives.
func (s *Store) currentKeys(ctx context.Context) (*keys, error) {
	switch {
	case s.cfg.AccessKeyID != "" && s.cfg.SecretAccessKey != "":
		return &keys{id: s.cfg.AccessKeyID, secret: s.cfg.SecretAccessKey, session: s.cfg.SessionToken}, nil
	case s.cfg.KeysURL == "":
		return nil, &refusal{text: "there are no AWS credentials: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set"}
	}
	if k := s.keys.Load(); k != nil && time.Until(k.expires) > beforeExpiry {
		return k, nil
	}
	k, err := s.askForKeys(ctx)
	if err != nil {
		return nil, err
	}
	s.keys.Store(k)
	return k, nil
}

func (s *Store) askForKeys(ctx context.Context) (*keys, error) {
	const variable = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	u, err := url.Parse(s.cfg.KeysURL)
	if err != nil || u.Scheme != "https" && !isNear(u) { // KeysToken must not be sent unencrypted
		return nil, &refusal{text: variable + " must be https://, or an address of this machine"}
	}
	p, err := s.pool(u.Scheme+"://"+u.Host, nil)
	if err != nil {
		return nil, &refusal{text: variable + " is no address"}
	}
	header := http.Header{"Accept": {"application/json"}}
	if s.cfg.KeysToken != "" {
		header.Set("Authorization", s.cfg.KeysToken)
	}
	resp, err := p.Do(ctx, pool.Request{Method: http.MethodGet, Path: u.RequestURI(), Header: header})
	if err != nil {
		return nil, notAnswered(variable, err)
	}
	var given struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      time.Time
	}
	if resp.Status != http.StatusOK {
		return nil, &refusal{text: fmt.Sprintf("%s answers %d", variable, resp.Status), retryable: passing("", resp.Status)}
	}
	if json.Unmarshal(resp.Body, &given) != nil || given.AccessKeyID == "" || given.SecretAccessKey == "" {
		return nil, &refusal{text: variable + " gives no credentials", retryable: true}
	}
	return &keys{given.AccessKeyID, given.SecretAccessKey, given.Token, given.Expiration}, nil
}

// isNear says whether the host of a URL is this machine, or a link-local address: AWS gives a container its credentials at one.
func isNear(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast())
}
