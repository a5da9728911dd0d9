package settings

import (
	"crypto/x509"
	"math"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"hearth/cache"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
)

func TestTheTokenIsDerivedInLambdaOnly(t *testing.T) {
	lambda := "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001"
	// printf hearth | openssl dgst -sha256 -hmac session
	const derived = "43aabecb02690aa817e885d91c273a4aa760a6eb592c44ecfea70b0920d98c8e"
	for _, c := range []struct {
		env  []string
		want string
		from string
	}{
		{[]string{"AWS_SESSION_TOKEN=session"}, "", "HEARTH_TOKEN"},
		{[]string{"HEARTH_TOKEN=mine"}, "mine", "HEARTH_TOKEN"},
		{[]string{lambda, "HEARTH_TOKEN=mine", "AWS_SESSION_TOKEN=session"}, "mine", "HEARTH_TOKEN"},
		{[]string{lambda, "AWS_SESSION_TOKEN=session", "AWS_CONTAINER_AUTHORIZATION_TOKEN=other"}, derived, "AWS_SESSION_TOKEN"},
		{[]string{lambda, "AWS_CONTAINER_AUTHORIZATION_TOKEN=session"}, derived, "AWS_CONTAINER_AUTHORIZATION_TOKEN"},
		{[]string{lambda}, "", ""},
	} {
		s, err := Read(c.env)
		if token, from := s.CallersToken(); err != nil || token != c.want || from != c.from {
			t.Errorf("%v: %q from %q, %v", c.env, token, from, err)
		}
		if inLambda := s.RuntimeAPI != ""; (s.Socket == "/tmp/hearth.sock") != inLambda {
			t.Errorf("%v: socket %q", c.env, s.Socket)
		}
	}
}

func TestTheCacheFollowsTheFunctionsMemory(t *testing.T) {
	for env, want := range map[string]int64{
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128": 16 << 20, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=10240": 64 << 20, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=-1": 64 << 20, "HEARTH_CACHE_BYTES=32MiB": 32 << 20,
	} {
		if s, err := Read([]string{env}); err != nil || s.CacheSize() != want {
			t.Errorf("%s: %d, %v", env, s.CacheSize(), err)
		}
	}
}

// One answer of an upstream fits beside what is remembered, but any message that was accepted fits into it.
func TestTheBoundOfAnAnswer(t *testing.T) {
	for env, want := range map[string]int64{
		"": 16 << 20, "HEARTH_CACHE_BYTES=20MiB": 5 << 20, "HEARTH_CACHE_BYTES=256KiB": 4 << 20,
		"HEARTH_CACHE_BYTES=20MiB\nHEARTH_MAX_BODY=3MiB": 6 << 20, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256": 8 << 20,
	} {
		if s, err := Read(strings.Split(env, "\n")); err != nil || s.AnswerSize() != want {
			t.Errorf("%q: %d, want %d, %v", env, s.AnswerSize(), want, err)
		}
	}
}

func TestTheSizesOfThePools(t *testing.T) {
	const managed, weaviate, odoo = "AWS_LAMBDA_INITIALIZATION_TYPE=lambda-managed-instances", "HEARTH_WEAVIATE_CONNECTIONS=", "HEARTH_ODOO_CONNECTIONS="
	perCPU := 16 * runtime.NumCPU()
	type sizes struct{ start, most int }
	for _, tc := range []struct {
		env            []string
		weaviate, odoo sizes
	}{
		{nil, sizes{5, 64}, sizes{2, 8}},
		{[]string{"AWS_LAMBDA_MAX_CONCURRENCY=30"}, sizes{5, 64}, sizes{2, 8}}, // no extension is told that
		{[]string{"AWS_LAMBDA_INITIALIZATION_TYPE=provisioned-concurrency"}, sizes{5, 64}, sizes{2, 8}},
		{[]string{managed}, sizes{min(perCPU, 256), 256}, sizes{2, 32}},
		{[]string{weaviate + "3", odoo + "1"}, sizes{3, 3}, sizes{1, 1}},
		{[]string{managed, weaviate + "3", odoo + "9"}, sizes{3, 3}, sizes{2, 9}},
		{[]string{weaviate + "256", odoo + "256"}, sizes{5, 256}, sizes{2, 256}},
	} {
		s, err := Read(tc.env)
		w, o := sizes{s.WeaviateStart(), s.WeaviateConnections}, sizes{s.OdooStart(), s.OdooConnections}
		if err != nil || w != tc.weaviate || o != tc.odoo {
			t.Errorf("%v: %v and %v, want %v and %v, %v", tc.env, w, o, tc.weaviate, tc.odoo, err)
		}
	}
}

func TestOnlyASnapshotHoldsNoConnections(t *testing.T) {
	for kind, want := range map[string]uint64{"": 0, "on-demand": 0, "snap-start": 1, "provisioned-concurrency": 0, "lambda-managed-instances": 0} {
		if s, err := Read([]string{"AWS_LAMBDA_INITIALIZATION_TYPE=" + kind}); err != nil || s.KeepFrom() != want {
			t.Errorf("%q: connections are kept from freeze %d on, %v", kind, s.KeepFrom(), err)
		}
	}
}

func TestTheRootsAreAddedToTheSystems(t *testing.T) {
	ca := certificate(t)
	s, err := Read([]string{"HEARTH_TLS_CA=" + ca})
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	want, err := x509.SystemCertPool() // TestMain has put one there
	if err != nil || want.Equal(x509.NewCertPool()) {
		t.Fatalf("the system has no roots: %v", err)
	}
	if !want.AppendCertsFromPEM(pem) || !s.Roots()().Equal(want) {
		t.Error("the roots are not those of the system and of the file")
	}
	if s, _ := Read(nil); s.Roots() != nil {
		t.Error("without a file the system's roots are read before they are needed")
	}
}

func TestTheRoomsAreToldWhatIsSet(t *testing.T) {
	var environ []string
	for name, value := range goodValues(certificate(t)) {
		environ = append(environ, name+"="+value)
	}
	s, err := Read(append(environ, "HEARTH_TTL_MUTE=4s/5s/6s"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ got, want any }{
		{s.Policies(), map[cache.Resource]cache.Policy{
			cache.History: {}, cache.Relevant: {Fresh: time.Second, WhileRevalidate: 2 * time.Second, IfError: 3 * time.Second},
			cache.Mute:     {Fresh: 4 * time.Second, WhileRevalidate: 5 * time.Second, IfError: 6 * time.Second},
			cache.OdooRead: {Fresh: 1}, cache.OdooModels: {Fresh: time.Minute},
		}},
		{s.Weaviate(nil), weaviate.Config{
			APIKey: "k", Headers: map[string]string{"X-Key": "a,b"}, Consistency: "QUORUM", Tenant: "t", Vector: "v",
			Message: weaviate.MessageClass{
				Class: "Msg", ChatID: "a", Role: "b", Content: "c", CreatedAt: "_d", User: []string{"user", "human"}, Assistant: []string{"ai"},
			},
			Mute: weaviate.MuteClass{Class: "M1", ChatID: "x", Muted: "y", Until: "z"},
		}},
		{s.Odoo(nil), odoo.Config{DB: "d", User: "u", Key: "k", UID: 7, Protocol: "jsonrpc", Lang: "sr@latin", Reads: []string{"read", "my_read"}}},
	} {
		if !reflect.DeepEqual(tc.got, tc.want) {
			t.Errorf("%+v,\nwant %+v", tc.got, tc.want)
		}
	}
}

func TestAManagedInstanceHasMoreCallersForAShorterTime(t *testing.T) {
	s, err := Read(nil)
	if n, idle := s.ConnLimits(); err != nil || n != 0 || idle != 0 {
		t.Errorf("%d for %v, %v", n, idle, err)
	}
	s, err = Read([]string{"AWS_LAMBDA_INITIALIZATION_TYPE=lambda-managed-instances"})
	if n, idle := s.ConnLimits(); err != nil || n != connectionsFor(descriptors(), 0) || idle != 10*time.Minute {
		t.Errorf("managed: %d for %v, %v", n, idle, err)
	}
}

func TestConnectionsFitTheDescriptorsAndTheMemory(t *testing.T) {
	for _, tc := range []struct {
		descriptors, memoryMB int64
		want                  int
	}{{1024, 2048, 341}, {4096, 2048, 1456}, {1 << 20, 2048, 1456}, {1 << 20, 32 << 10, 2048}, {1 << 20, 128, 512}, {64, 128, 1}} {
		got := connectionsFor(tc.descriptors, tc.memoryMB<<20)
		if got != tc.want {
			t.Errorf("%d descriptors and %d MB: %d connections, want %d", tc.descriptors, tc.memoryMB, got, tc.want)
		}
		if open := int64(2 * (got + got/8)); tc.descriptors >= 1024 && open > tc.descriptors-256 {
			t.Errorf("%d connections take %d of %d descriptors", got, open, tc.descriptors)
		}
	}
}

func TestAManagedInstanceHasMemoryForItsConnections(t *testing.T) {
	const small = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128"
	one, err := Read([]string{small})
	managed, err2 := Read([]string{small, "AWS_LAMBDA_INITIALIZATION_TYPE=lambda-managed-instances"})
	n, _ := managed.ConnLimits()
	if more := managed.MemoryLimit() - one.MemoryLimit(); err != nil || err2 != nil || more < int64(2*n)*33<<10 {
		t.Errorf("%d bytes more for %d connections on each listener, %v, %v", more, n, err, err2)
	}
}

func TestTheMemoryLimitFollowsTheFunctionsMemory(t *testing.T) {
	for env, want := range map[string]int64{
		"": math.MaxInt64, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128": 52 << 20, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024": 256 << 20,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024\nHEARTH_CACHE_BYTES=512MiB": 672 << 20,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024\nGOMEMLIMIT=1GiB":           256 << 20, // meant for the handler
	} {
		if s, err := Read(strings.Split(env, "\n")); err != nil || s.MemoryLimit() != want {
			t.Errorf("%q: %d, %v", env, s.MemoryLimit(), err)
		}
	}
}

func TestWhereGRPCIsAnsweredByDefault(t *testing.T) {
	for rest, want := range map[string]string{
		"https://abc.c0.europe-west3.gcp.weaviate.cloud": "https://grpc-abc.c0.europe-west3.gcp.weaviate.cloud",
		"https://ABC.Weaviate.Cloud:443/":                "https://grpc-abc.weaviate.cloud",
		"https://abc.weaviate.network":                   "https://grpc-abc.weaviate.network",
		"http://weaviate:8080":                           "http://weaviate:50051",
		"https://weaviate.example/prefix":                "https://weaviate.example:50051",
		"http://[::1]:8080":                              "http://[::1]:50051",
		"":                                               "",
	} {
		if got := grpcURL(rest); got != want {
			t.Errorf("of %q: %q, want %q", rest, got, want)
		}
	}
}
