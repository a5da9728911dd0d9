package secrets

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"hearth/pool"
)

// refusal is the reason that there is no value. Its text holds no credentials.
type refusal struct {
	code      string // the service's own
	text      string // with code in front, if there is one
	retryable bool
}

func (r *refusal) Error() string { return r.text }

const (
	mostAnswer  = 256 << 10 // bytes of an answer; a secret has 64 KiB at most
	mostMessage = 512       // bytes of a service's message that an error repeats
)

// ask asks for the text of a secret. It ends after Config.Timeout, or with the store.
func (s *Store) ask(a arn) (string, error) {
	ctx, cancel := s.cfg.Pulse.WithTimeout(s.ctx, s.cfg.Timeout)
	defer cancel()
	k, err := s.currentKeys(ctx)
	if err != nil {
		return "", err
	}
	endpoint := cmp.Or(s.cfg.Endpoints[a.service], s.cfg.Endpoint, a.endpoint())
	p, err := s.pool(endpoint, s.cfg.ProxyFor(endpoint))
	if err != nil {
		return "", &refusal{text: a.text + ": AWS_ENDPOINT_URL or the service's own must be http://host or https://host"}
	}
	resp, err := send(ctx, p, k, a)
	if err != nil {
		return "", notAnswered(a.text, err)
	}
	if resp.Status != http.StatusOK {
		r := refusalOf(a, resp, k)
		if expired(r.code) {
			s.keys.Store(nil) // the next request asks for new keys
			r.retryable = s.cfg.KeysURL != ""
		}
		return "", r
	}
	return textOf(a, resp.Body)
}

// send signs the request for a secret and sends it.
func send(ctx context.Context, p *pool.Pool, k *keys, a arn) (*pool.Response, error) {
	target, question := "secretsmanager.GetSecretValue", map[string]any{"SecretId": a.text}
	if a.service == SSM {
		target, question = "AmazonSSM.GetParameter", map[string]any{"Name": a.text, "WithDecryption": true}
	}
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.BaseURL()+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", target)
	sum := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: k.id, SecretAccessKey: k.secret, SessionToken: k.session}
	if err := v4.NewSigner().SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]), a.service, a.region, time.Now()); err != nil {
		return nil, err
	}
	return p.Do(ctx, pool.Request{Method: req.Method, Path: "/", Header: req.Header, Body: body, Repeatable: true})
}

// pool is the pool of an endpoint. It keeps no connection, because requests are too rare.
func (s *Store) pool(endpoint string, proxy *url.URL) (*pool.Pool, error) {
	key := fmt.Sprint(endpoint, proxy != nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pools[key]; p != nil {
		return p, nil
	}
	cfg := pool.Config{
		Name: "secrets", URL: endpoint, Proxy: proxy, Size: 2, Timeout: s.cfg.Timeout, RootCAs: s.cfg.RootCAs, Pulse: s.cfg.Pulse, Logger: s.cfg.Logger,
		Answers: pool.NewAnswers(mostAnswer, 4*mostAnswer), KeepFrom: math.MaxUint64,
	}
	p, err := pool.New(cfg)
	if err == nil {
		s.pools[key] = p
	}
	return p, err
}

// textOf is the text of the secret in an answer.
func textOf(a arn, body []byte) (string, error) {
	var answer struct {
		SecretString *string
		SecretBinary *string
		Parameter    struct{ Value *string }
	}
	err := json.Unmarshal(body, &answer)
	text := answer.SecretString
	if a.service == SSM {
		text = answer.Parameter.Value
	}
	switch {
	case err != nil:
		return "", &refusal{text: a.text + ": the service's answer is no JSON", retryable: true}
	case text == nil && answer.SecretBinary != nil:
		return "", &refusal{text: a.text + " is binary: Hearth takes secrets of text"}
	case text == nil:
		return "", &refusal{text: a.text + ": the service's answer holds no value"}
	}
	return *text, nil
}

// refusalOf reads an answer that has an error and no value.
func refusalOf(a arn, resp *pool.Response, k *keys) *refusal {
	var said struct {
		Type    string `json:"__type"`
		Message string `json:"message"` // or Message: the names of fields match in any case
	}
	_ = json.Unmarshal(resp.Body, &said) // the answer may be the page of a proxy, and no JSON
	code, _, _ := strings.Cut(cmp.Or(resp.Header.Get("X-Amzn-Errortype"), said.Type), ":")
	code = code[strings.LastIndexByte(code, '#')+1:]
	if !consistsOf(code, upper+lower+digits) || len(code) > 100 {
		code = fmt.Sprintf("status %d", resp.Status)
	}
	message := tidy(said.Message, k)
	text := strings.Join(slices.DeleteFunc([]string{a.text, code, message}, func(s string) bool { return s == "" }), ": ")
	const kms = "kms:Decrypt"
	switch denied := strings.HasPrefix(code, "AccessDenied"); {
	case denied && strings.Contains(strings.ToLower(message), "kms"), strings.HasPrefix(code, "KMS"), code == "DecryptionFailure":
		text += " (the function's role needs " + kms + " for the key of the secret)"
	case denied:
		text += " (the function's role needs " + a.permission() + ", and " + kms + " if the secret has a key of its own)"
	}
	return &refusal{code: code, text: text, retryable: passing(code, resp.Status)}
}

// passing says that the same request may succeed later.
func passing(code string, status int) bool {
	return status == http.StatusTooManyRequests || status >= http.StatusInternalServerError && status != http.StatusNotImplemented ||
		strings.Contains(code, "Throttl") || slices.Contains([]string{"TooManyRequestsException", "RequestLimitExceeded", "InternalServiceError", "ServiceUnavailable"}, code)
}

// expired says that the keys are not valid any more.
func expired(code string) bool {
	return slices.Contains([]string{"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"}, code)
}

// tidy is what an error repeats of a service's message: its first line, without the keys that signed the request.
func tidy(message string, k *keys) string {
	message, _, _ = strings.Cut(message, "\n")
	for _, secret := range []string{k.session, k.secret, k.id} {
		if secret != "" {
			message = strings.ReplaceAll(message, secret, "…")
		}
	}
	message = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, message)
	return strings.ToValidUTF8(strings.TrimSpace(message[:min(len(message), mostMessage)]), "")
}

// notAnswered is why a request to one of AWS's addresses has no answer.
func notAnswered(what string, err error) *refusal {
	proxy, refused := errors.AsType[*pool.ProxyError](err)
	_, redirected := errors.AsType[*pool.RedirectError](err)
	retryable := !errors.Is(err, pool.ErrTooLarge) && !redirected && (!refused || !proxy.Refused())
	if e, ok := errors.AsType[*pool.Error](err); ok {
		return &refusal{text: what + ": no answer from " + e.Address + ": " + pool.Reason(e.Err), retryable: retryable}
	}
	return &refusal{text: what + ": " + pool.Reason(err), retryable: retryable}
}
