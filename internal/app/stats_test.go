package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"hearth/client"
	"hearth/client/wire"
	"hearth/internal/app/stats"
	"hearth/internal/testing/await"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

// gated is a Weaviate that answers no search between shut and the closing of open.
func gated(t *testing.T) (env []string, shut func(), open chan struct{}) {
	t.Helper()
	var closed atomic.Bool
	open = make(chan struct{})
	stand := weaviatetest.New()
	stand.MustAddClass(`{"class":"Message","properties":[{"name":"chat_id","dataType":["text"],"tokenization":"word"},
		{"name":"role","dataType":["text"]},{"name":"content","dataType":["text"]},{"name":"created_at","dataType":["date"]}]}`)
	stand.MustAddClass(`{"class":"ChatStatus","properties":[{"name":"chat_id","dataType":["text"],"tokenization":"field"},
		{"name":"muted","dataType":["boolean"]},{"name":"muted_until","dataType":["date"]}]}`)
	stand.SetHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if closed.Load() && r.URL.Path == "/weaviate.v1.Weaviate/Search" {
			select {
			case <-open:
			case <-r.Context().Done():
			}
		}
		return false
	})
	upstream, err := testnet.Serve(stand, testnet.Config{HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = upstream.Close() })
	return append(weaviateAt(upstream.URL), "HEARTH_WEAVIATE_CONNECTIONS=1"), func() { closed.Store(true) }, open
}

// The advice comes of what really happened: many reads wait for the only slot, of a class that mixes chats.
func TestStatsShowWhatHappenedAndWhatToChange(t *testing.T) {
	env, shut, open := gated(t)
	socket := filepath.Join(shortDir(t), "s")
	p := serving(t, append(env, "HEARTH_TOKEN=sesame", "HEARTH_SOCKET="+socket)...)
	history := func(chat int, root string) {
		path := fmt.Sprintf("/v1/chats/c%d/history", chat)
		if status, body := call(t, "tcp", p.addr, path, wire.HeaderToken, "sesame", "X-Amzn-Trace-Id", "Root="+root); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	get := func(path string, v any) {
		t.Helper()
		_, body := call(t, "tcp", p.addr, path, wire.HeaderToken, "sesame")
		if err := json.Unmarshal([]byte(body), v); err != nil {
			t.Fatalf("%s: %v: %s", path, err, body)
		}
	}
	var advices wire.Advices
	if get(wire.PathAdvice, &advices); advices.Advice == nil || len(advices.Advice) > 0 {
		t.Errorf("a new Hearth advises %v", advices.Advice)
	}
	await.That(t, "it is ready and has nothing to do", func() bool {
		status, _ := call(t, "tcp", p.addr, wire.PathReady, wire.HeaderToken, "sesame")
		var pools wire.Pools
		get(wire.PathDebugPools, &pools)
		return status == http.StatusOK && pools["weaviate"].InUse == 0
	})
	shut()
	var first sync.WaitGroup
	for chat := range 4 {
		first.Go(func() { history(chat, "1-first") })
	}
	await.That(t, "all but one search wait", func() bool {
		var pools wire.Pools
		get(wire.PathDebugPools, &pools)
		return pools["weaviate"].Queue == 7
	})
	began := time.Now()
	await.That(t, "they have waited long enough to tell", func() bool { return time.Since(began) > 20*time.Millisecond })
	close(open)
	first.Wait()
	for chat := range 30 {
		history(chat, fmt.Sprintf("1-%d", chat))
	}

	at := []string{"HEARTH_SOCKET=" + socket, "HEARTH_TOKEN=sesame"}
	stdout, stderr, code := command(t, at, "stats")
	if code != 0 || stderr != "" {
		t.Fatalf("stats exits with %d: %s", code, stderr)
	}
	wantAll(t, "stats", strings.Join(strings.Fields(stdout), " "),
		"Cache: 11.8 % of 34 reads from memory", "history 11.8 % 4 0 30 0 30", "weaviate closed 0/1",
		"for a slot of weaviate: its ceiling is 1. HEARTH_WEAVIATE_CONNECTIONS=8 would have let all of them through at once.",
		`class Message has the tokenization "word"`, "and 21 more invocations", "hearth.history 34")
	for line := range strings.Lines(stdout) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 || strings.Contains(line, "\x1b") {
			t.Errorf("%d characters: %q", n, line)
		}
	}

	stdout, stderr, code = command(t, []string{"HEARTH_ADDR=" + p.addr, "HEARTH_TOKEN=sesame"}, "stats", "--json")
	var s stats.Snapshot
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != 0 || stderr != "" || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("stats --json: %v, %d, %s\n%s", err, code, stderr, stdout)
	}
	var rules []string
	for _, a := range s.Advice {
		rules = append(rules, a.Rule)
	}
	if !slices.Equal(rules, []string{"weaviate-ceiling", "class-tokenization"}) || s.Cache.Misses != 30 || s.Pools["weaviate"].Size != 1 || len(s.Invocations) != 31 ||
		s.Operations["hearth.history"].Count != 34 {
		t.Errorf("stats --json: %s", stdout)
	}
	if code := p.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("hearth exits with %d", code)
	}
}

func TestStatsSayInPlainWordsWhyTheyCannotBeShown(t *testing.T) {
	env, _, _ := gated(t)
	p := serving(t, append(env, "HEARTH_TOKEN=sesame")...)
	dir := shortDir(t)
	for _, tc := range []struct {
		name string
		env  []string
		args []string
		says []string
	}{
		{"no token", []string{"HEARTH_ADDR=" + p.addr}, nil, []string{"wants its token", "HEARTH_TOKEN is not set here"}},
		{"another token", []string{"HEARTH_ADDR=" + p.addr, "HEARTH_TOKEN=open"}, nil, []string{"this command has is another one", "HEARTH_TOKEN"}},
		{
			"nobody listens",
			[]string{"HEARTH_ADDR=127.0.0.1:1", "HEARTH_SOCKET=" + filepath.Join(dir, "s")},
			[]string{"--watch"},
			[]string{"no Hearth answers at " + filepath.Join(dir, "s") + " or 127.0.0.1:1", "is it running", "HEARTH_SOCKET and HEARTH_ADDR"},
		},
		{"a wrong address", []string{"HEARTH_ADDR=example.com:80"}, nil, []string{"example.com:80", "loopback"}},
		{"a wrong option", nil, []string{"--wach"}, []string{`no option "--wach"`, "--watch or --json"}},
	} {
		stdout, stderr, code := command(t, tc.env, append([]string{"stats"}, tc.args...)...)
		if code != 1 || stdout != "" || strings.Contains(stderr, "sesame") || strings.Contains(stderr, "open\"") {
			t.Errorf("%s: exits with %d; %s%s", tc.name, code, stdout, stderr)
		}
		wantAll(t, tc.name, stderr, tc.says...)
	}
}

func TestAWatchGoesOnUntilItIsEnded(t *testing.T) {
	env, _, _ := gated(t)
	p := serving(t, env...)
	for _, args := range [][]string{{"stats", "--watch"}, {"stats", "--json", "--watch"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var out logBuffer
		cmd := exec.CommandContext(ctx, binary(t), args...)
		cmd.Env, cmd.Stdout, cmd.Stderr = asTested("HEARTH_ADDR="+p.addr), &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		word := "Cache: "
		if slices.Contains(args, "--json") {
			word = `{"cache":`
		}
		await.That(t, "it was shown twice", func() bool { return strings.Count(out.String(), word) >= 2 })
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out.String())
		}
	}
}

// A Hearth that ends while it is watched may start again.
func TestAWatchOutlivesTheHearth(t *testing.T) {
	env, _, _ := gated(t)
	p := serving(t, env...)
	var outs [2]logBuffer
	var watches [2]*exec.Cmd
	for i, args := range [][]string{{"stats", "--watch"}, {"stats", "--watch", "--json"}} {
		watches[i] = exec.CommandContext(t.Context(), binary(t), args...)
		watches[i].Env, watches[i].Stdout, watches[i].Stderr = asTested("HEARTH_ADDR="+p.addr), &outs[i], &outs[i]
		if err := watches[i].Start(); err != nil {
			t.Fatal(err)
		}
		await.That(t, "it is shown", func() bool { return strings.Contains(outs[i].String(), []string{"Cache: ", `{"cache":`}[i]) })
	}
	p.end(t, syscall.SIGTERM)
	for i, cmd := range watches {
		await.That(t, "it says that nobody answers", func() bool { return strings.Contains(outs[i].String(), "no Hearth answers at "+p.addr) })
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, outs[i].String())
		}
	}
	for line := range strings.Lines(outs[1].String()) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil || len(object) != 5 && object["error"] == nil {
			t.Errorf("a program cannot read %s", line)
		}
	}
}

func TestOfTwoValuesOfAVariableTheLastCounts(t *testing.T) {
	get := getter([]string{"HEARTH_ADDR=a", "HEARTH_ADDRESS=c", "HEARTH_ADDR=b=c"})
	if got := get("HEARTH_ADDR"); got != "b=c" {
		t.Errorf("%q", got)
	}
	if got := client.FromEnv(get).Addr; got != "b=c" {
		t.Errorf("%q", got)
	}
}
