package app

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"hearth/client"
	"hearth/internal/testing/awstest"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
)

// secretsOf are what no output may show: each setting's secret, and what the services gave.
func leakSecrets() map[string]string {
	return map[string]string{
		"the token":                "leak token/+1=",
		"Weaviate's key":           "leak+weaviate/key=2",
		"Weaviate's rotated key":   "leak+weaviate/key=2b",
		"a vectorizer's key":       "leak+openai/key=3",
		"a resolved header":        "leak+cohere/key=4",
		"Odoo's key":               "leak+odoo/key=5 ü",
		"the rest of Odoo's JSON":  "leak+odoo/rest=6",
		"AWS's access key":         "leakAKID7",
		"AWS's secret key":         "leak+aws/secret=8",
		"AWS's session token":      "leak+aws/session=9",
		"the proxy's password":     "leak+proxy/password=10",
		"the other proxy's":        "leak-other-proxy-11",
		"the password of a URL":    "leak-url-password-12",
		"the container's token":    "leak+container/token=13",
		"Odoo's key as it is":      "leak+odoo/plain=15",
		"Weaviate's key as it is":  "leak+weaviate/plain=16",
		"what a binary secret has": "leak-binary-17",
	}
}

// forms are the ways in which a secret may be written.
func forms(secret string) []string {
	quoted, _ := json.Marshal(secret)
	ascii := strings.Trim(fmt.Sprintf("%+q", secret), `"`)
	all := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(quoted), `"`), ascii, fmt.Sprintf("%x", secret),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte("me:" + secret)), url.UserPassword("me", secret).String(),
	}
	for i, prefix := range []string{"Bearer ", "bearer ", "x", "xx"} { // within other text
		text := base64.RawStdEncoding.EncodeToString([]byte(prefix + secret))
		all = append(all, text[4+4*(i%2):len(text)-4])
	}
	return all
}

// outputs are all that Hearth has said, by what said it.
type outputs map[string]string

func (o outputs) add(what, text string) { o[what] += text + "\n" }

// wantNone looks for every form of every secret in every output.
func (o outputs) wantNone(t *testing.T) {
	t.Helper()
	searched, size := 0, 0
	for what, text := range o {
		size += len(text)
		for name, secret := range leakSecrets() {
			for _, form := range slices.Compact(slices.Sorted(slices.Values(forms(secret)))) {
				searched++
				if i := strings.Index(text, form); i >= 0 {
					t.Errorf("%s shows %s (%q): …%s…", what, name, form, text[max(0, i-200):min(len(text), i+200)])
				}
			}
		}
	}
	t.Logf("%d outputs of %d bytes in all were searched for %d texts", len(o), size, searched)
}

// echo answers with all that a request brought: headers and body, as an upstream or a proxy that is being helpful may.
func echo(status int, kind string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		var said bytes.Buffer
		_ = r.Header.Write(&said)
		if kind == "grpc" && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			return false
		}
		body, _ := io.ReadAll(r.Body)
		said.Write(body)
		text := said.String()
		switch kind {
		case "grpc":
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "2")
			w.Header().Set("Grpc-Message", url.PathEscape("extract auth: "+text))
			return true
		case "odoo":
			fault, _ := json.Marshal(map[string]any{"name": "odoo.exceptions.UserError", "message": text, "arguments": []string{text}, "debug": text})
			text = string(fault)
		case "odoo-rpc":
			fault, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "error": map[string]any{"message": text, "data": map[string]any{"name": "odoo.exceptions.UserError", "message": text, "debug": text}}})
			text = string(fault)
		case "aws":
			fault, _ := json.Marshal(map[string]any{"__type": "AccessDeniedException", "Message": strings.Join(strings.Fields(text), " ")})
			text = string(fault)
		case "weaviate":
			fault, _ := json.Marshal(map[string]any{"error": []any{map[string]any{"message": text}}})
			text = string(fault)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
		return true
	}
}

// callAll makes every call of the API, some of them badly, and keeps the replies.
func callAll(t *testing.T, p *process, out outputs, phase string) {
	t.Helper()
	const entry = `{"requests":[{"id":"a","method":"GET","path":"/v1/chats/b/history"},{"id":"b","method":"POST","path":"/v1/odoo/call","body":{"model":"res.users","method":"read"}}]}`
	for _, c := range [][3]string{
		{"GET", "/v1/chats/a/history"},
		{"POST", "/v1/chats/a/relevant", `{"text":"hello"}`},
		{"POST", "/v1/chats/a/relevant", `{"text":"hello","mode":"near_text"}`},
		{"GET", "/v1/chats/a/mute"},
		{"PUT", "/v1/chats/a/mute", `{"muted":true}`},
		{"POST", "/v1/chats/a/messages", `{"role":"user","content":"hello"}`},
		{"POST", "/v1/chats/a/messages", `{"role":5}`},
		{"POST", "/v1/preprocess", `{"chat_id":"a","text":"hello","route_name":"odoo_erp","enable_odoo":true,"num_messages":3}`},
		{"GET", "/v1/odoo/models"},
		{"GET", "/v1/odoo/models?names=no.such"},
		{"POST", "/v1/odoo/call", `{"model":"res.partner","method":"search_count","args":[[]]}`},
		{"POST", "/v1/odoo/call", `{"model":"res.partner","method":"create","args":[{"name":"n"}]}`},
		{"POST", "/v1/odoo/call", `{"model":"res.partner","method":"no_such"}`},
		{"POST", "/v1/batch", entry},
		{"POST", "/v1/fetch", `{"url":"https://me:x@elsewhere.example/"}`},
		{"GET", "/v1/jobs/none"},
		{"GET", "/healthz"},
		{"GET", "/readyz"},
		{"GET", "/debug/cache"},
		{"GET", "/debug/pools"},
		{"GET", "/debug/invocations"},
		{"POST", "/v1/timings", `{"timings":[{"operation":"a","duration_ms":1,"error":"no"}]}`},
		{"GET", "/debug/"},
		{"GET", "/debug"},
		{"GET", "/debug/vars"},
		{"GET", "/debug/pprof/cmdline"},
		{"GET", "/metrics"},
		{"GET", "/openapi.json"},
		{"DELETE", "/v1/cache"},
		{"GET", "/nowhere"},
		{"TRACE", "/v1/chats/a/history"},
	} {
		for _, token := range []string{leakSecrets()["the token"], "wrong"} {
			req, err := http.NewRequestWithContext(t.Context(), c[0], "http://"+p.addr+c[1], strings.NewReader(c[2]))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Cache-Control", "no-cache")
			req.Header.Set(client.HeaderToken, token)
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
			if err != nil {
				t.Fatalf("%s: %s %s: %v", phase, c[0], c[1], err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			out.add(fmt.Sprintf("%s: %s %s", phase, c[0], c[1]), fmt.Sprint(resp.Status, resp.Header, string(body)))
		}
	}
}

// ended ends the process with a dump of all its goroutines, as a panic that nothing catches would.
func ended(t *testing.T, p *process, out outputs, phase string) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	line, err := os.ReadFile(proc + "cmdline")
	environ, environErr := os.ReadFile(proc + "environ")
	if err != nil || environErr != nil {
		t.Fatal(err, environErr)
	}
	out.add(phase+": the command line", string(line))
	for variable := range strings.SplitSeq(strings.TrimRight(string(environ), "\x00"), "\x00") {
		if !slices.Contains(p.cmd.Env, variable) {
			t.Errorf("%s: the environment has %s", phase, variable)
		}
	}
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	<-p.exited
	if !strings.Contains(p.log.String(), "goroutine 1 ") {
		t.Errorf("%s: there is no dump of goroutines", phase)
	}
	out.add(phase+": the log", p.log.String())
}

func TestNoSecretIsInAnyOutput(t *testing.T) {
	s, out := leakSecrets(), outputs{}
	r := newRotated(t, odootest.Config{Key: s["Odoo's key"]})
	aws := awstest.New(awstest.Keys{ID: s["AWS's access key"], Secret: s["AWS's secret key"], Session: s["AWS's session token"]}, s["the container's token"])
	awsAt := upstreamAt(t, aws)
	const cohereARN = openAIARN + "/cohere"
	good := func() {
		aws.Set(weaviateARN, s["Weaviate's key"])
		aws.Set(cohereARN, s["a resolved header"])
		aws.Set(odooARN, fmt.Sprintf(`{"password":%q,"other":%q}`, s["Odoo's key"], s["the rest of Odoo's JSON"]))
		r.weaviate.SetKeys(allowed(s["Weaviate's key"]))
		r.odoo.SetKey(s["Odoo's key"])
		for _, stand := range []*testnet.Knobs{&aws.Knobs, &r.weaviate.Knobs, &r.odoo.Knobs} {
			stand.SetHook(nil)
		}
	}
	hook := make(chan testnet.Hook, 1) // of the proxy
	proxy, err := testnet.NewForward(testnet.ForwardConfig{User: "me:" + s["the proxy's password"], Hook: func(w http.ResponseWriter, req *http.Request) bool {
		h := <-hook
		hook <- h
		return h(w, req)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	open := func(http.ResponseWriter, *http.Request) bool { return false }
	hook <- open
	set := func(h testnet.Hook) { <-hook; hook <- h }
	through := strings.Replace(proxy.URL, "://", "://"+url.UserPassword("me", s["the proxy's password"]).String()+"@", 1)
	env := append(slices.Clone(r.env),
		"HEARTH_LOG_LEVEL=debug", "HEARTH_TOKEN="+s["the token"], "HEARTH_PROXY="+through, "HTTPS_PROXY=http://me:"+s["the other proxy's"]+"@127.0.0.1:1",
		"HEARTH_WEAVIATE_HEADERS=X-OpenAI-Api-Key="+url.PathEscape(s["a vectorizer's key"])+",X-Cohere-Api-Key="+cohereARN,
		"AWS_ACCESS_KEY_ID="+s["AWS's access key"], "AWS_SECRET_ACCESS_KEY="+s["AWS's secret key"], "AWS_SESSION_TOKEN="+s["AWS's session token"],
		"AWS_ENDPOINT_URL="+awsAt, "HEARTH_WEAVIATE_TIMEOUT=1s", "HEARTH_ODOO_TIMEOUT=1s")
	odooPlain := []string{"HEARTH_WEAVIATE_API_KEY=" + s["Weaviate's key as it is"], "HEARTH_ODOO_KEY=" + s["Odoo's key as it is"], "HEARTH_ODOO_PROTOCOL=jsonrpc"}
	container := []string{
		"AWS_ACCESS_KEY_ID=", "AWS_SESSION_TOKEN=", "AWS_CONTAINER_CREDENTIALS_FULL_URI=" + awsAt + awstest.KeysPath,
		"AWS_CONTAINER_AUTHORIZATION_TOKEN=" + s["the container's token"],
	}
	for _, phase := range []struct {
		name string
		env  []string
		do   func()
	}{
		{"all well", nil, func() {}},
		{"rotated", nil, func() {
			aws.Set(weaviateARN, s["Weaviate's rotated key"])
			r.weaviate.SetKeys(allowed(s["Weaviate's rotated key"]))
		}},
		{"keys of a container", container, func() {}},
		{"keys refused", nil, func() { r.weaviate.SetKeys(allowed("x")); r.odoo.SetKey("x") }},
		{"plain keys refused", odooPlain, func() {}},
		{"upstreams repeat what they get", []string{"HEARTH_ODOO_PROTOCOL=json2"}, func() {
			r.weaviate.SetHook(echo(http.StatusUnprocessableEntity, "weaviate")) // no failure for which the breaker opens
			r.odoo.SetHook(echo(http.StatusUnprocessableEntity, "odoo"))
		}},
		{"Weaviate fails and repeats what it gets", nil, func() { // until its breaker opens
			r.weaviate.SetHook(echo(http.StatusInternalServerError, "weaviate"))
		}},
		{"upstreams repeat plain keys", odooPlain, func() {
			r.weaviate.SetHook(echo(http.StatusUnauthorized, "weaviate"))
			r.odoo.SetHook(echo(http.StatusOK, "odoo-rpc"))
		}},
		{"gRPC repeats what it gets", nil, func() { r.weaviate.SetHook(echo(http.StatusOK, "grpc")) }},
		{"a page repeats what it gets", nil, func() {
			r.weaviate.SetHook(echo(http.StatusBadGateway, ""))
			r.odoo.SetHook(echo(http.StatusForbidden, ""))
		}},
		{"AWS repeats what it gets", nil, func() { aws.SetHook(echo(http.StatusBadRequest, "aws")) }},
		{"AWS's container repeats what it gets", container, func() { aws.SetHook(echo(http.StatusOK, "odoo")) }},
		{"a secret without the field", nil, func() { aws.Set(odooARN, s["the rest of Odoo's JSON"]) }},
		{"secrets of the wrong kind", nil, func() {
			aws.Set(odooARN, fmt.Sprintf(`{"password":%q}`, s["Odoo's key"]+"\n"+s["the rest of Odoo's JSON"]))
			aws.Set(weaviateARN, []byte(s["what a binary secret has"]))
		}},
		{"the proxy repeats what it gets", nil, func() { set(echo(http.StatusProxyAuthRequired, "")) }},
		{"the proxy's page", nil, func() { set(echo(http.StatusBadGateway, "odoo")) }},
		{"the proxy is not there", []string{"HEARTH_PROXY=http://me:" + url.QueryEscape(s["the proxy's password"]) + "@127.0.0.1:1"}, func() {}},
	} {
		good()
		set(open)
		phase.do()
		env := append(slices.Clone(env), phase.env...)
		p := serving(t, env...)
		callAll(t, p, out, phase.name)
		if phase.name == "rotated" { // again, in the same process
			aws.Set(weaviateARN, s["Weaviate's key"])
			r.weaviate.SetKeys(allowed(s["Weaviate's key"]))
			callAll(t, p, out, phase.name)
		}
		ended(t, p, out, phase.name)
		for _, args := range []string{"check", "schema"} {
			stdout, stderr, _ := command(t, env, args)
			out.add(phase.name+": "+args, stdout+stderr)
		}
	}
	if !strings.Contains(out["all well: POST /v1/preprocess"], "res.partner") || !strings.Contains(out["all well: check"], "weaviate: ok") {
		t.Errorf("the keys are of no use: %s%s", out["all well: POST /v1/preprocess"], out["all well: check"])
	}
	for what, mark := range map[string]string{ // what stands where the secret was
		"upstreams repeat what they get: POST /v1/chats/a/messages": "Bearer …", "upstreams repeat what they get: GET /v1/odoo/models": "bearer [key]",
		"Weaviate fails and repeats what it gets: GET /v1/chats/a/history": "Bearer …",
		"gRPC repeats what it gets: GET /v1/chats/a/history":               "Bearer …", "upstreams repeat plain keys: POST /v1/odoo/call": "[key]",
		"AWS repeats what it gets: GET /v1/chats/a/history": "Credential=…/", "the proxy repeats what it gets: GET /v1/odoo/models": "Basic …",
	} {
		if !strings.Contains(out[what], mark) {
			t.Errorf("%s does not have %q: %s", what, mark, out[what])
		}
	}
	out.wantNone(t)
}

// Whatever is wrong with a setting, no fault shows what it holds.
func TestNoSecretIsInAnyFault(t *testing.T) {
	s, out := leakSecrets(), outputs{}
	bad := s["the password of a URL"]
	for _, variable := range []string{
		"HEARTH_ADDR=" + bad, "HEARTH_SOCKET=" + strings.Repeat(bad, 10), "HEARTH_TOKEN=" + s["the token"] + "\x01x",
		"HEARTH_WEAVIATE_URL=https://me:" + bad + "@x", "HEARTH_WEAVIATE_GRPC_URL=https://me:" + bad + "@x", "HEARTH_ODOO_URL=https://x?key=" + bad,
		"HEARTH_ODOO_URL=https://me:" + bad + "%zz@x", "HEARTH_WEAVIATE_API_KEY=arn:" + bad, "HEARTH_ODOO_KEY=arn:aws:ssm:x:y:" + bad,
		"HEARTH_WEAVIATE_HEADERS=X=" + bad + "%zz", "HEARTH_WEAVIATE_HEADERS=" + bad, "HEARTH_WEAVIATE_HEADERS=X=arn:" + bad,
		"HEARTH_PROXY=http://me:" + bad + "%zz@x", "HEARTH_PROXY=socks5://me:" + bad + "@x", "HEARTH_PROXY=" + bad,
		"HEARTH_WORKERS=" + bad, "HEARTH_CACHE_BYTES=" + bad, "HEARTH_WEAVIATE_TIMEOUT=" + bad, "HEARTH_STRICT=" + bad, "HEARTH_LOG_LEVEL=" + bad,
		"HEARTH_TLS_CA=" + bad, "HEARTH_ODOO_PROTOCOL=" + bad, "HEARTH_ODOO_UID=" + bad, "HEARTH_WEAVIATE_CONSISTENCY=" + bad,
	} {
		for _, args := range [][]string{nil, {"check"}} {
			stdout, stderr, code := command(t, []string{"HEARTH_WEAVIATE_URL=https://weaviate.example", variable}, args...)
			if name, _, _ := strings.Cut(variable, "="); code != 1 || !strings.Contains(stderr, name) {
				t.Errorf("%s: exit %d: %s%s", name, code, stdout, stderr)
			}
			out.add(fmt.Sprint(variable[:min(40, len(variable))], args), stdout+stderr)
		}
	}
	out.wantNone(t)
}
