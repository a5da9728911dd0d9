package settings

import (
	"crypto/x509"
	"log/slog"
	"math"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/monitor/advice"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
)

// InLambda says whether this process is an extension.
func (s *Settings) InLambda() bool { return s.RuntimeAPI != "" }

// Listen is where to listen: an address and a socket. Either is empty if it is not set, or is faulty.
func (s *Settings) Listen() (addr, socket string) {
	if isLoopback(s.Addr) {
		addr = s.Addr
	}
	if fitsSocket(s.Socket) {
		socket = s.Socket
	}
	return addr, socket
}

// setDefaults sets the variables that are not set and whose default depends on other variables. The other defaults are in the tags of
// [Settings].
func (s *Settings) setDefaults(values map[string]string) {
	const most = 1 << 20 // MB: no function has more, and in bytes it does not overflow
	s.MemoryMB = min(s.MemoryMB, most)
	if s.Socket == "" && s.InLambda() {
		s.Socket = "/tmp/hearth.sock"
	}
	if s.WeaviateGRPCURL == "" && isURL(s.WeaviateURL) {
		s.WeaviateGRPCURL = grpcURL(s.WeaviateURL)
	}
	if values["HEARTH_WEAVIATE_CONNECTIONS"] == "" {
		s.WeaviateConnections = s.byType(64, 256)
	}
	if values["HEARTH_ODOO_CONNECTIONS"] == "" {
		s.OdooConnections = s.byType(8, 32)
	}
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

// CallersToken is what callers must bring, and the variable that it comes from: HEARTH_TOKEN, else in Lambda a token that
// both sides derive from the credentials of this sandbox. The credentials themselves never travel. Empty: no token is asked for.
func (s *Settings) CallersToken() (token, variable string) {
	if s.Token != "" || s.RuntimeAPI == "" {
		return s.Token, "HEARTH_TOKEN"
	}
	return wire.DeriveToken(s.SessionToken, s.ContainerToken)
}

// CacheSize is how many bytes the cache may have: HEARTH_CACHE_BYTES, else an eighth of the function's memory, at most 64 MiB.
func (s *Settings) CacheSize() int64 {
	const ceiling = 64 << 20
	switch {
	case s.CacheBytes != 0:
		return int64(s.CacheBytes)
	case s.MemoryMB > 0:
		return min(s.MemoryMB<<20/8, ceiling)
	}
	return ceiling
}

// AnswerSize is how many bytes one answer of an upstream may have: a quarter of the cache's, at least 4 MiB, and at least
// the largest message that Hearth accepts. The answers of one upstream that are under way may have as many bytes together.
func (s *Settings) AnswerSize() int64 {
	return max(s.CacheSize()/4, 4<<20, 2*int64(s.MaxBody))
}

// FetchSize is how many bytes one answer of a fetch may have: a quarter of what an upstream's answer may have, because the reply holds a
// copy of it as text.
func (s *Settings) FetchSize() int64 { return s.AnswerSize() / 4 }

// WeaviateStart is how many calls to Weaviate may be under way at once in the beginning. The number follows the demand, up to
// HEARTH_WEAVIATE_CONNECTIONS. A managed instance is not told how many invocations it runs at once; Lambda's Python runtime runs 16 per CPU.
func (s *Settings) WeaviateStart() int {
	return min(s.byType(5, 16*runtime.NumCPU()), s.WeaviateConnections)
}

// OdooStart is the same for Odoo. It is small, because each of Odoo's workers serves one call at a time.
func (s *Settings) OdooStart() int { return min(2, s.OdooConnections) }

// byType returns several on a managed instance, which runs invocations at the same time, and single elsewhere.
func (s *Settings) byType(single, several int) int {
	if s.InitType == InitManaged {
		return several
	}
	return single
}

// ConnLimits returns how many connections handlers may have on each listener, and how long an idle one is kept. Zero means the API's own
// default, which fits one invocation at a time. A managed instance is never frozen, and clients keep an idle connection for 5 minutes: 10
// minutes are enough.
func (s *Settings) ConnLimits() (connections int, idle time.Duration) {
	if s.InitType != InitManaged {
		return 0, 0
	}
	return connectionsFor(descriptors(), s.MemoryMB<<20), 10 * time.Minute
}

// connectionMemory is the memory in bytes that a connection to a listener takes: for the buffers of reads and writes, the goroutine, and a
// share of the reserve, which is an eighth.
const connectionMemory = 45 << 10

// connectionsFor is how many connections each of two listeners may have, if the process may have so many file descriptors and the function
// so many bytes of memory. Both listeners together take a sixteenth of the memory.
func connectionsFor(descriptors, memory int64) int {
	const (
		least, most = 512, 2048
		others      = 256 // descriptors of connections to upstreams, and of files
	)
	n := min(max(memory/16/(2*connectionMemory), least), most)
	return int(max(min(n, (descriptors-others)*4/9), 1)) // the reserve has descriptors too
}

// descriptors is how many file descriptors this process may have.
func descriptors() int64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // a function's
	}
	return int64(min(limit.Cur, math.MaxInt32)) //nolint:gosec // it fits
}

// KeepFrom is how many freezes must have passed before connections are kept. A snapshot must hold no connection, and its
// restore counts as a freeze.
func (s *Settings) KeepFrom() uint64 {
	if s.InitType == InitSnapStart {
		return 1
	}
	return 0
}

// MemoryLimit is the soft limit of the Go runtime: a quarter of the function's memory, or what the cache and the connections need if that is
// more. Outside Lambda there is no limit. If the live heap were as large as the limit, the garbage collector would take half of the CPU.
func (s *Settings) MemoryLimit() int64 {
	if s.MemoryMB <= 0 {
		return math.MaxInt64
	}
	const rest = 32 << 20 // for requests, the connections that one invocation needs, and garbage
	connections, _ := s.ConnLimits()
	return max(s.MemoryMB<<20/4, s.CacheSize()+s.CacheSize()/4+rest+int64(connections)*2*connectionMemory)
}

// Policies are how long each resource is fresh, and may be served stale.
func (s *Settings) Policies() map[cache.Resource]cache.Policy {
	return map[cache.Resource]cache.Policy{
		cache.History: cache.Policy(s.TTLHistory), cache.Relevant: cache.Policy(s.TTLRelevant), cache.Mute: cache.Policy(s.TTLMute),
		cache.OdooRead: cache.Policy(s.TTLOdooRead), cache.OdooModels: cache.Policy(s.TTLOdooModels),
	}
}

// Advice are the settings that advice is about.
func (s *Settings) Advice() advice.Settings {
	return advice.Settings{
		Workers: s.Workers, TimelineWindow: s.TimelineWindow, ConnMaxIdle: s.ConnMaxIdle, PreprocessTimeout: s.PreprocessTimeout,
		Timeouts: map[string]time.Duration{"weaviate": s.WeaviateTimeout, "odoo": s.OdooTimeout}, Policies: s.Policies(),
		MemoryLimit: s.MemoryLimit(), FunctionMemory: s.MemoryMB << 20, ColdStarts: s.InLambda() && s.InitType == InitOnDemand,
	}
}

// Weaviate is the config of Weaviate's client.
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

// Odoo is the config of Odoo's client.
func (s *Settings) Odoo(log *slog.Logger) odoo.Config {
	return odoo.Config{
		DB: s.OdooDB, User: s.OdooUser, Key: s.OdooKey, UID: s.OdooUID, Protocol: odoo.Protocol(s.OdooProtocol),
		Lang: s.OdooLang, Reads: s.OdooReads, Logger: log,
	}
}

// Roots are the root certificates: those of the system, and those of HEARTH_TLS_CA. nil means the system's alone, which TLS
// reads when it needs them.
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
