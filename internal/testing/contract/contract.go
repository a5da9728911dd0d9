// Package contract holds what Hearth promises, as tests of the real binary over its localhost API.
//
// Start at [Run]: one suite for the stand-ins and for real servers, so that the stand-ins cannot drift from what they
// stand for. Each theme is a file; hearth.go starts the binary, call.go asks it, direct.go talks to Weaviate without it.
//
// The suite asks over raw HTTP. It shares nothing with the product but the wire types, and never looks inside.
package contract

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hearth/internal/testing/testnet"
)

// Upstreams are the servers that the binary under test talks to.
type Upstreams struct {
	WeaviateURL  string
	WeaviateGRPC string // base URL for gRPC

	// WeaviateKey is Hearth's, with rights for [MessageClasses] and [MuteClasses]. The suite itself uses WeaviateAdminKey. Both
	// are empty for anonymous access.
	WeaviateKey, WeaviateAdminKey string

	OdooURL      string
	OdooVersion  int      // 0: 19
	OdooSpanish  []string // settings of a Hearth whose Odoo user's language is Spanish
	OdooDB       string
	OdooUser     string
	OdooPassword string
	OdooKey      string // an API key
	OdooUID      int

	CAFile string // PEM file of the servers' authorities; empty: no server has TLS

	// Weaviate and Odoo are the knobs of stand-ins; nil for real servers, and what needs them is skipped.
	Weaviate, Odoo *testnet.Knobs

	Turns    int           // of all conversations together
	TalksTTL time.Duration // how long a history is fresh in them

	Themes []string       // of the suite, by name; nil: all
	Saw    func(Exchange) // gets every call of the suite, also several at once; nil: nobody looks
}

// patience is how long a test waits for what must happen.
const patience = 15 * time.Second

// MessageClasses and MuteClasses are patterns of the names of all classes that the suite makes: * is any text.
const MessageClasses, MuteClasses = "Contract_*", "ContractMute_*"

// suite is one run against one set of servers, in classes of its own.
type suite struct {
	Upstreams
	bin          string
	messageClass string
	muteClass    string
	weaviate     *direct
	common       *hearth // a sidecar that the parts share, with the default settings
}

// Run runs the whole suite with the binary that [Build] made.
func Run(t *testing.T, bin string, u Upstreams) {
	s := newSuite(t, bin, u)
	for _, part := range []struct {
		name string
		run  func(*suite, *testing.T)
	}{
		{"schema", (*suite).schemaIsMadeOnce},
		{"isolation", (*suite).isolation},
		{"identity", (*suite).identity},
		{"a write that is refused in part says what became of each message", (*suite).partlyWritten},
		{"vectors of two lengths in one write", (*suite).vectorsOfTwoLengths},
		{"order", (*suite).order},
		{"preview", (*suite).preview},
		{"freshness", (*suite).freshness},
		{"mute", (*suite).muteRules},
		{"relevance", (*suite).relevance},
		{"preprocess", (*suite).preprocess},
		{"caching headers", (*suite).cachingHeaders},
		{"requests at the same time share one load", (*suite).together},
		{"classes of other kinds", (*suite).classes},
		{"classes that others made", (*suite).matrix},
		{"classes that cannot be served", (*suite).wrongClasses},
		{"answers larger than the memory for them", (*suite).large},
		{"memory", (*suite).memory},
		{"a schema that Weaviate does not send", (*suite).hangingSchema},
		{"hearth check", (*suite).checks},
		{"door", (*suite).door},
		{"bad input", (*suite).badInput},
		{"odoo", (*suite).odoo},
		{"administration", (*suite).administration},
		{"fetch", (*suite).fetch},
		{"faults", (*suite).faults},
		{"lambda", (*suite).lambda},
		{"conversations", (*suite).conversations},
	} {
		if u.Themes == nil || slices.Contains(u.Themes, part.name) {
			t.Run(part.name, func(t *testing.T) { part.run(s, t) })
		}
	}
}

func newSuite(t *testing.T, bin string, u Upstreams) *suite {
	t.Helper()
	mark := strconv.FormatUint(rand.Uint64(), 36)
	u.OdooVersion = cmp.Or(u.OdooVersion, 19)
	s := &suite{Upstreams: u, bin: bin, messageClass: "Contract_" + mark, muteClass: "ContractMute_" + mark}
	s.weaviate = newDirect(t, u)
	out := s.makeClasses(t)
	t.Cleanup(func() {
		s.weaviate.dropClass(t, s.messageClass)
		s.weaviate.dropClass(t, s.muteClass)
	})
	if want := fmt.Sprintf("created %s\ncreated %s\n", s.messageClass, s.muteClass); out != want {
		t.Fatalf("hearth schema printed %q, want %q", out, want)
	}
	s.common = s.start(t)
	return s
}

func (s *suite) schemaIsMadeOnce(t *testing.T) {
	if out := s.makeClasses(t); out != "every class exists\n" {
		t.Errorf("a second hearth schema printed %q", out)
	}
	out := s.command(t, nil, "check")
	for _, want := range []string{"weaviate: ok", "odoo: ok"} {
		if !strings.Contains(out, want) {
			t.Errorf("hearth check printed %q, want %q in it", out, want)
		}
	}
	for _, variable := range []string{"HEARTH_MESSAGE_CLASS=Missing", "HEARTH_ODOO_KEY=wrong-key"} {
		if out, err := s.tryCommand(t, []string{variable}, "check"); err == nil {
			t.Errorf("hearth check with %s succeeds: %s", variable, out)
		}
	}
	h := s.start(t, "HEARTH_MESSAGE_CLASS=Missing")
	for _, r := range []reply{
		h.get(t, historyPath("a", 10, 5)), h.post(t, chatPath("a", "relevant"), map[string]any{"text": "x"}),
	} {
		p := wantProblem(t, r, http.StatusBadGateway)
		if !strings.Contains(p.Detail, "Missing") || !strings.Contains(p.Detail, "hearth schema") {
			t.Errorf("without the class: %+v", p)
		}
	}
}

// env are the settings under which a sidecar reaches the servers.
func (s *suite) env() []string {
	return []string{
		"HEARTH_WEAVIATE_URL=" + s.WeaviateURL, "HEARTH_WEAVIATE_GRPC_URL=" + s.WeaviateGRPC, "HEARTH_WEAVIATE_API_KEY=" + s.WeaviateKey,
		"HEARTH_MESSAGE_CLASS=" + s.messageClass, "HEARTH_MUTE_CLASS=" + s.muteClass,
		"HEARTH_ODOO_URL=" + s.OdooURL, "HEARTH_ODOO_DB=" + s.OdooDB, "HEARTH_ODOO_USER=" + s.OdooUser,
		"HEARTH_ODOO_KEY=" + s.OdooKey, "HEARTH_TLS_CA=" + s.CAFile, "HEARTH_LOG_LEVEL=warn",
		"GORACE=atexit_sleep_ms=0", // otherwise every process ends a second later
	}
}

// weaviateAt are the settings of a sidecar whose Weaviate is elsewhere, with REST and gRPC at one address.
func weaviateAt(url string) []string {
	return []string{"HEARTH_WEAVIATE_URL=" + url, "HEARTH_WEAVIATE_GRPC_URL=" + url}
}

// standIn skips a test that disturbs the servers, unless they are stand-ins.
func (s *suite) standIn(t *testing.T) {
	t.Helper()
	if s.Weaviate == nil || s.Odoo == nil {
		t.Skip("needs to disturb the servers: stand-ins only")
	}
}

func newClient(t testing.TB, caFile string) *http.Client {
	return newClientFor(t, caFile, func(p *http.Protocols) { p.SetHTTP1(true) })
}

// newHTTP2Client is for gRPC: HTTP/2 with TLS or without.
func newHTTP2Client(t testing.TB, caFile string) *http.Client {
	return newClientFor(t, caFile, func(p *http.Protocols) { p.SetHTTP2(true); p.SetUnencryptedHTTP2(true) })
}

func newClientFor(t testing.TB, caFile string, choose func(*http.Protocols)) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16, Protocols: new(http.Protocols)}
	choose(transport.Protocols)
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			t.Fatalf("%s holds no certificate", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
