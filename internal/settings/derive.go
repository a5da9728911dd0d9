package settings

import (
	"cmp"
	"crypto/x509"
	"log/slog"
	"math"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
)

// InLambda says whether this process is an extension.
func (s *Settings) InLambda() bool { return s.RuntimeAPI != "" }

// Listen is where to listen: an address and a socket. Either is empty where it is not set, or is faulty.
func (s *Settings) Listen() (addr, socket string) {
	if isLoopback(s.Addr) {
		addr = s.Addr
	}
	if fitsSocket(s.Socket) {
		socket = s.Socket
	}
	return addr, socket
}

// grpcURL is where Weaviate answers gRPC by default: in Weaviate's cloud on a host of its own, elsewhere on port 50051.
func grpcURL(rest string) string {
	u, err := url.Parse(rest)
	if err != nil || u.Host == "" {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	if strings.HasSuffix(host, ".weaviate.cloud") || strings.HasSuffix(host, ".weaviate.network") {
		return "https://grpc-" + host
	}
	return u.Scheme + "://" + net.JoinHostPort(host, "50051")
}

// CallersToken is what callers must bring, and the variable that it comes from: the one given, else in Lambda one that both
// sides derive from the credentials that only this sandbox has. The credentials themselves never travel.
func (s *Settings) CallersToken() (token, variable string) {
	if s.Token != "" || s.RuntimeAPI == "" {
		return s.Token, "HEARTH_TOKEN"
	}
	return wire.DeriveToken(s.SessionToken, s.ContainerToken)
}

// CacheSize is the bound given, else an eighth of the function's memory, at most 64 MiB.
func (s *Settings) CacheSize() int64 {
	const most = 64 << 20
	switch {
	case s.CacheBytes != 0:
		return int64(s.CacheBytes)
	case s.MemoryMB > 0:
		return min(s.MemoryMB<<20/8, most)
	}
	return most
}

// AnswerSize is how many bytes one answer of an upstream may have: a quarter of the cache's, at least 4 MiB, and room for
// any message that Hearth accepts. Those of one upstream under way may have as many together: it does not use up what the
// other needs.
func (s *Settings) AnswerSize() int64 {
	return max(s.CacheSize()/4, 4<<20, 2*int64(s.MaxBody))
}

// defaultPoolSize is the default size of a pool: that of one invocation at a time, or one of them for each of the
// invocations that a managed instance runs at once, up to the most.
func (s *Settings) defaultPoolSize(one, most int) int {
	if s.InitType != InitManaged {
		return one
	}
	const usual = 16 // per CPU, as Lambda's Python runtime has it
	return min(max(one, cmp.Or(s.Concurrency, usual)), most)
}

// ConnLimits are the bounds of the handlers' connections, zero where they are those of one invocation at a time. A managed
// instance is never frozen: nothing speaks for keeping a connection longer than the clients do, which is 5 minutes.
func (s *Settings) ConnLimits() (connections int, idle time.Duration) {
	if s.InitType != InitManaged {
		return 0, 0
	}
	return max(256, 4*s.Concurrency), 10 * time.Minute
}

// KeepFrom is the number of freezes from which on connections are kept: a snapshot must hold none, whoever asked for
// something before it, and its restore is the end of the first freeze.
func (s *Settings) KeepFrom() uint64 {
	if s.InitType == InitSnapStart {
		return 1
	}
	return 0
}

// MemoryLimit is the soft limit of the Go runtime: a quarter of the function's memory, or what the cache needs if
// that is more. Outside Lambda there is none.
func (s *Settings) MemoryLimit() int64 {
	if s.MemoryMB <= 0 {
		return math.MaxInt64
	}
	const rest = 32 << 20 // connections, requests, the garbage collector's room
	return max(s.MemoryMB<<20/4, s.CacheSize()+s.CacheSize()/4+rest)
}

func (s *Settings) Policies() map[cache.Resource]cache.Policy {
	return map[cache.Resource]cache.Policy{
		cache.History: cache.Policy(s.TTLHistory), cache.Relevant: cache.Policy(s.TTLRelevant), cache.Mute: cache.Policy(s.TTLMute),
		cache.OdooRead: cache.Policy(s.TTLOdooRead), cache.OdooModels: cache.Policy(s.TTLOdooModels),
	}
}

func (s *Settings) Weaviate(log *slog.Logger) weaviate.Config {
	m, u := s.MessageFields, append(slices.Clip(s.MuteFields), "")
	return weaviate.Config{
		APIKey: s.WeaviateKey, Headers: s.WeaviateHeaders,
		Consistency: s.WeaviateConsistency, Tenant: s.WeaviateTenant, Vector: s.WeaviateVector,
		Message: weaviate.MessageClass{
			Class: s.MessageClass, ChatID: m[0], Role: m[1], Content: m[2], CreatedAt: m[3],
			User: s.MessageRoles.user, Assistant: s.MessageRoles.assistant,
		},
		Mute:   weaviate.MuteClass{Class: s.MuteClass, ChatID: u[0], Muted: u[1], Until: u[2]},
		Logger: log,
	}
}

func (s *Settings) Odoo(log *slog.Logger) odoo.Config {
	return odoo.Config{
		DB: s.OdooDB, User: s.OdooUser, Key: s.OdooKey, UID: s.OdooUID, Protocol: odoo.Protocol(s.OdooProtocol),
		Lang: s.OdooLang, Reads: s.OdooReads, Logger: log,
	}
}

// Roots are those of the system and of HEARTH_TLS_CA; nil: those of the system, which TLS reads when it needs them.
func (s *Settings) Roots() func() *x509.CertPool {
	if s.ca == nil {
		return nil
	}
	return sync.OnceValue(func() *x509.CertPool {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		roots.AppendCertsFromPEM(s.ca)
		return roots
	})
}
