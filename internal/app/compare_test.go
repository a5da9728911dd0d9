package app

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/direct"
)

// comparing is upstreams that hold the chat "chat/1", remember what they were asked, and refuse what refuse says; nil: nothing.
func comparing(t *testing.T, refuse func(question string, number int) bool) (upstreams *lab.Upstreams, asked *questions) {
	t.Helper()
	u, err := lab.StartUpstreams(t.TempDir(), lab.UpstreamsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	if _, stderr, code := command(t, u.Settings(), "schema"); code != 0 {
		t.Fatal(stderr)
	}
	if err := direct.StoreChat(u, 1); err != nil {
		t.Fatal(err)
	}
	asked = &questions{by: map[string]map[string]int{}, refuse: refuse}
	u.Weaviate.SetHook(asked.hook)
	u.Odoo.SetHook(asked.hook)
	return u, asked
}

// questions counts requests by what they ask and by the connection that they came over.
type questions struct {
	mu     sync.Mutex
	by     map[string]map[string]int
	refuse func(question string, number int) bool // nil: none is refused
}

func (q *questions) hook(w http.ResponseWriter, r *http.Request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	question := r.Method + " " + r.URL.Path
	if q.by[question] == nil {
		q.by[question] = map[string]int{}
	}
	q.by[question][r.RemoteAddr]++
	number := 0
	for _, n := range q.by[question] {
		number += n
	}
	if q.refuse == nil || !q.refuse(question, number) {
		return false
	}
	w.WriteHeader(http.StatusBadGateway)
	return true
}

func TestAComparisonAsksWhatHandlersAskAndWritesNothing(t *testing.T) {
	u, asked := comparing(t, nil)
	stdout, stderr, code := command(t, u.Settings(), "compare", "--chat", lab.ChatID(1), "--text", "Where is parcel number 7?", "--rounds", "1")
	if code != 0 {
		t.Fatalf("exited with %d: %s\n%s", code, stderr, stdout)
	}
	for _, want := range []string{ // the numbers are how often a way was measured, and its requests to the upstreams
		`\(a\) one call after another, fresh connections +1 .* 6 *\n`,
		`\(b\) in two parallel stages, fresh connections +1 .* 6 *\n`,
		`\(c\) all in parallel, fresh connections +1 .* 6 *\n`,
		`\(d\) Hearth, cold +nothing +1 .* 6 *\n`,
		`\(e\) Hearth, next turn +odoo_models +1 .* 4 *\n`,
		`\(f\) Hearth, asked again +everything +10 .* 0 *\n`,
		`\(a\) found 20 messages of the history, 5 relevant ones, not muted, Odoo models: 1\.\n`,
		`An extra first round opened Hearth's\nconnections\. It does not count\.\n`,
		`No call failed\.\n`,
	} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("%s is missing in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "something else") {
		t.Errorf("the ways did not find the same:\n%s", stdout)
	}
	reads := regexp.MustCompile(`^(GET /v1/|GET /web/|POST /weaviate\.v1\.Weaviate/Search$|POST /grpc\.health\.v1\.Health/Check$|POST /json/2/[a-z.]+/(fields_get|display_name_for|context_get)$)`)
	for question := range asked.by {
		if !reads.MatchString(question) {
			t.Errorf("%s was asked: is it a read?", question)
		}
	}
	ownConnection := 0
	for _, searches := range asked.by["POST /weaviate.v1.Weaviate/Search"] {
		if searches == 1 {
			ownConnection++
		}
	}
	if want := 2 * 3 * 4; ownConnection < want { // rounds (one does not count), ways, searches
		t.Errorf("%d searches had a connection of their own, want %d", ownConnection, want)
	}
}

// The direct ways have one connection to Weaviate each, but Hearth has what the settings give it.
func TestAComparisonStartsHearthAsItIsConfigured(t *testing.T) {
	u, _ := comparing(t, nil)
	s, err := commandSettings(u.Settings())
	if err != nil {
		t.Fatal(err)
	}
	through, err := startThrough(t.Context(), s, io.Discard, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := through.close(); err != nil {
			t.Error(err)
		}
	}()
	pools, err := through.hearth.PoolStats(t.Context())
	if err != nil || pools["weaviate"].Size != s.WeaviateConnections || s.WeaviateConnections < searches {
		t.Errorf("Hearth has %d connections to Weaviate at most, want %d (%v)", pools["weaviate"].Size, s.WeaviateConnections, err)
	}
}

func TestAComparisonCountsWhatFailed(t *testing.T) {
	const fields = "POST /json/2/res.partner/fields_get"
	u, _ := comparing(t, func(question string, number int) bool { return question == fields && number == 5 }) // (b) is first in the first round that counts
	stdout, stderr, code := command(t, u.Settings(), "compare", "--chat", lab.ChatID(1), "--text", "Where?", "--rounds", "1")
	if code != 1 {
		t.Errorf("exited with %d", code)
	}
	wantAll(t, "stdout", stdout, "(b) failed 1 of 1 times, which the table does not count; at last: ")
	wantAll(t, "stderr", stderr, "1 of the calls failed: see above")
	if row := regexp.MustCompile(`\(b\) in two parallel stages, fresh connections +0 *\n`); !row.MatchString(stdout) {
		t.Errorf("a way that was never measured has numbers:\n%s", stdout)
	}
}

func TestAComparisonEndsWhenNothingAnswersAnyMore(t *testing.T) {
	var down atomic.Bool
	u, _ := comparing(t, func(question string, number int) bool {
		down.CompareAndSwap(false, number > 5 && strings.HasSuffix(question, "fields_get")) // the second round has begun
		return down.Load()
	})
	stdout, stderr, code := command(t, u.Settings(), "compare", "--chat", lab.ChatID(1), "--text", "Where?", "--rounds", "100")
	if code != 1 || !strings.HasSuffix(stderr, "\r                    \rhearth: 11 of the calls failed: see above\n") {
		t.Errorf("exited with %d: %q", code, stderr)
	}
	for _, way := range []string{"(a) failed 2 of 2 times", "(b) failed 1 of 2 times", "(f) failed 2 of 2 times"} {
		wantAll(t, "stdout", stdout, way)
	}
}

func TestAComparisonSaysWhatIsMissing(t *testing.T) {
	u, _ := comparing(t, nil)
	asks := []string{"compare", "--chat", "a", "--text", "b"}
	for _, tc := range []struct {
		name string
		env  []string
		args []string
		want []string
	}{
		{"everything", nil, []string{"compare"}, []string{"--chat is missing", "--text is missing"}},
		{"a text without quotes", nil, append(slices.Clip(asks), "c"), []string{`"c" is no flag`}},
		{"no round", nil, append(slices.Clip(asks), "--rounds", "0"), []string{"--rounds is 0: it must be from 1 to 100"}},
		{"a flag that is none", nil, append(slices.Clip(asks), "-write"), []string{"-write"}},
		{"no Weaviate", nil, asks, []string{"HEARTH_WEAVIATE_URL is not set"}},
		{"a setting is wrong", []string{"HEARTH_WORKERS=many"}, asks, []string{"HEARTH_WORKERS: "}},
		{"no class", append(u.Settings(), "HEARTH_MESSAGE_CLASS=Nothing"), asks, []string{"Nothing", "hearth check says more"}},
		{"no Odoo there", append(u.Settings(), "HEARTH_ODOO_URL=http://127.0.0.1:1"), asks, []string{"odoo", "hearth check says more"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stdout, stderr, code := command(t, tc.env, tc.args...)
			if code != 1 || stdout != "" {
				t.Errorf("exited with %d, stdout %q", code, stdout)
			}
			wantAll(t, "stderr", stderr, tc.want...)
		})
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := command(t, append(u.Settings(), "TMPDIR="+long), asks...); code != 1 || !strings.Contains(stderr, "TMPDIR is too long") {
		t.Errorf("a long TMPDIR: exited with %d, %q", code, stderr)
	}
	if stdout, stderr, code := command(t, nil, "compare", "-h"); code != 0 || stdout != "" || !strings.Contains(stderr, "-chat") {
		t.Errorf("-h: exited with %d, %q, %q", code, stdout, stderr)
	}
}

func TestAComparisonSaysThatAChatIsEmptyAndThatThereIsNoOdoo(t *testing.T) {
	u, _ := comparing(t, nil)
	stdout, stderr, code := command(t, withoutOdoo(u.Settings()), "compare", "--chat", "nobody's", "--text", "Where?", "--rounds", "1")
	if code != 0 {
		t.Errorf("exited with %d: %s", code, stderr)
	}
	wantAll(t, "stdout", stdout, "no Odoo model (HEARTH_ODOO_URL is not set)", "The chat has no messages: is its id right?")
}

func withoutOdoo(settings []string) []string {
	return slices.DeleteFunc(settings, func(s string) bool { return strings.HasPrefix(s, "HEARTH_ODOO_") })
}
