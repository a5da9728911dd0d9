// Package awstest is a double of AWS Secrets Manager, of Systems Manager's Parameter Store, and of the service that gives a container its
// credentials. Start at New; serve it with testnet.
//
// It checks every signature with AWS's own signer, and answers as the services do: GetSecretValue and GetParameter, with their errors.
package awstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"hearth/internal/testing/testnet"
)

// Keys sign requests.
type Keys struct{ ID, Secret, Session string }

// KeysPath is where a container gets its keys.
const KeysPath = "/2021-04-23/credentials"

// Failure is an error that a service answers with.
type Failure struct {
	Status  int // default 400
	Code    string
	Message string
}

// Server is the double, an http.Handler. It is safe for concurrent use.
type Server struct {
	testnet.Knobs
	keys  Keys
	token string // that a request for the container's keys must show

	mu      sync.Mutex
	values  map[string]any     // guarded by mu: string or []byte, by ARN
	fails   map[string]Failure // guarded by mu: by ARN
	asked   map[string]int     // guarded by mu: by ARN
	expires time.Duration      // guarded by mu: how long the container's keys are valid
}

// New makes a double that accepts requests signed with keys. token is what a request for the container's keys must show.
func New(keys Keys, token string) *Server {
	return &Server{
		keys: keys, token: token, values: map[string]any{}, fails: map[string]Failure{}, asked: map[string]int{}, expires: time.Hour,
	}
}

// Set gives a secret a value, a string or bytes, and ends its failure.
func (s *Server) Set(arn string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[arn] = value
	delete(s.fails, arn)
}

// Fail makes the requests for a secret fail.
func (s *Server) Fail(arn string, f Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[arn] = f
}

// Expire sets how long the container's keys are valid, for keys that are given from now on.
func (s *Server) Expire(after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expires = after
}

// Asked says how often a secret was asked for.
func (s *Server) Asked(arn string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[arn]
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.Before(w, r) {
		return
	}
	if r.URL.Path == KeysPath {
		s.giveKeys(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	answer, failure := s.answer(r, body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if failure != nil {
		if failure.Status == 0 {
			failure.Status = http.StatusBadRequest
		}
		w.WriteHeader(failure.Status)
		answer = map[string]any{"__type": failure.Code, "Message": failure.Message}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *Server) giveKeys(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != s.token {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{
		"AccessKeyId": s.keys.ID, "SecretAccessKey": s.keys.Secret, "Token": s.keys.Session, "Expiration": time.Now().Add(s.expires).UTC(),
	})
}

func (s *Server) answer(r *http.Request, body []byte) (any, *Failure) {
	var asked struct {
		SecretID       string `json:"SecretId"`
		Name           string
		WithDecryption bool
	}
	if err := json.Unmarshal(body, &asked); err != nil || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		return nil, &Failure{Code: "SerializationException"}
	}
	service, arn, missing := "secretsmanager", asked.SecretID, "ResourceNotFoundException"
	switch r.Header.Get("X-Amz-Target") {
	case "secretsmanager.GetSecretValue":
	case "AmazonSSM.GetParameter":
		service, arn, missing = "ssm", asked.Name, "ParameterNotFound"
	default:
		return nil, &Failure{Code: "UnknownOperationException"}
	}
	parts := strings.Split(arn, ":")
	if len(parts) < 6 || parts[2] != service {
		return nil, &Failure{Code: "ValidationException", Message: "Invalid name"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[arn]++
	if failure := s.checkSignature(r, body, service, parts[3]); failure != nil {
		return nil, failure
	}
	if failure, ok := s.fails[arn]; ok {
		return nil, &failure
	}
	value, ok := s.values[arn]
	if !ok {
		return nil, &Failure{Code: missing, Message: "can't find the specified secret."}
	}
	text, isText := value.(string)
	switch {
	case service == "ssm" && !asked.WithDecryption:
		return map[string]any{"Parameter": map[string]any{"ARN": arn, "Type": "SecureString", "Value": "AQICAHencrypted"}}, nil
	case service == "ssm":
		return map[string]any{"Parameter": map[string]any{"ARN": arn, "Type": "SecureString", "Value": text, "Version": 1}}, nil
	case isText:
		return map[string]any{"ARN": arn, "SecretString": text, "VersionStages": []string{"AWSCURRENT"}}, nil
	default:
		b, _ := value.([]byte)
		return map[string]any{"ARN": arn, "SecretBinary": base64.StdEncoding.EncodeToString(b)}, nil
	}
}

// checkSignature signs the request again and compares the signatures.
func (s *Server) checkSignature(r *http.Request, body []byte, service, region string) *Failure {
	when, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(when).Abs() > 5*time.Minute {
		return &Failure{Code: "InvalidSignatureException", Message: "Signature expired"}
	}
	if r.Header.Get("X-Amz-Security-Token") != s.keys.Session {
		return &Failure{Code: "UnrecognizedClientException", Message: "The security token included in the request is invalid."}
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return &Failure{Code: "InvalidSignatureException"}
	}
	_, signed, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	for name := range strings.SplitSeq(signed, ";") {
		if values := r.Header.Values(name); len(values) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	sum := sha256.Sum256(body)
	keys := aws.Credentials{AccessKeyID: s.keys.ID, SecretAccessKey: s.keys.Secret, SessionToken: s.keys.Session}
	err = v4.NewSigner().SignHTTP(r.Context(), keys, again, hex.EncodeToString(sum[:]), service, region, when)
	if err != nil || again.Header.Get("Authorization") != r.Header.Get("Authorization") {
		return &Failure{Code: "InvalidSignatureException", Message: "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String for this request should have been\n" +
			r.Header.Get("X-Amz-Security-Token")}
	}
	return nil
}
