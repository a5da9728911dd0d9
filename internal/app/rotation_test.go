package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/internal/testing/awstest"
	"hearth/internal/testing/lambdatest"
	"hearth/internal/testing/odootest"
	"hearth/internal/testing/testnet"
	"hearth/internal/testing/weaviatetest"
)

const (
	weaviateARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:weaviate-AbCdEf"
	openAIARN   = "arn:aws:ssm:eu-central-1:123456789012:parameter/openai"
	odooARN     = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:odoo-AbCdEf"
)

// rotated are upstreams whose keys are secrets. The listeners count what was refused.
type rotated struct {
	aws      *awstest.Server
	weaviate *weaviatetest.Server
	odoo     *odootest.Server
	env      []string

	mu      sync.Mutex
	refused map[string]int // guarded by mu: by upstream
}

// counting counts the answers of a handler that refuse the key, in each of the ways in which upstreams do.
func (r *rotated) counting(upstream string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen := &seen{ResponseWriter: w}
		h.ServeHTTP(seen, req)
		text := seen.text.String() + fmt.Sprint(w.Header()) // with the trailers
		if seen.status == http.StatusUnauthorized || strings.Contains(text, "AccessDenied") || strings.Contains(text, "extract auth") {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.refused[upstream]++
		}
	})
}

// seen remembers an answer.
type seen struct {
	http.ResponseWriter
	status int
	text   strings.Builder
}

func (s *seen) WriteHeader(status int) { s.status = status; s.ResponseWriter.WriteHeader(status) }
func (s *seen) Unwrap() http.ResponseWriter {
	return s.ResponseWriter
}

func (s *seen) Write(b []byte) (int, error) {
	s.text.Write(b)
	return s.ResponseWriter.Write(b)
}

func newRotated(t *testing.T, odoo odootest.Config, env ...string) *rotated {
	t.Helper()
	r := &rotated{
		aws: awstest.New(awstest.Keys{ID: "AKIDEXAMPLE", Secret: "aws-secret", Session: "aws-session"}, ""), odoo: odootest.New(odoo),
		weaviate: weaviatetest.NewWith(weaviatetest.Config{Modules: []string{"text2vec-openai"}}), refused: map[string]int{},
	}
	at := upstreamAt(t, r.counting("weaviate", r.weaviate))
	if _, stderr, code := command(t, weaviateAt(at), "schema"); code != 0 {
		t.Fatal(stderr)
	}
	r.rotate("key-one")
	r.aws.Set(openAIARN, "key-of-openai")
	r.env = append(weaviateAt(at),
		"HEARTH_ODOO_URL="+upstreamAt(t, r.counting("odoo", r.odoo)), "HEARTH_ODOO_DB=demo", "HEARTH_ODOO_USER=admin",
		"HEARTH_WEAVIATE_API_KEY="+weaviateARN, "HEARTH_ODOO_KEY="+odooARN+"#password", "HEARTH_WEAVIATE_HEADERS=X-OpenAI-Api-Key="+openAIARN,
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=aws-secret", "AWS_SESSION_TOKEN=aws-session",
		"AWS_ENDPOINT_URL="+upstreamAt(t, r.aws))
	r.env = append(r.env, env...)
	return r
}

// rotate gives both upstreams new keys, and the services of secrets too.
func (r *rotated) rotate(key string) {
	r.aws.Set(weaviateARN, key+"-of-weaviate")
	r.aws.Set(odooARN, fmt.Sprintf(`{"user":"admin","password":"%s-of-odoo"}`, key))
	r.turn(key)
}

// turn gives the upstreams new keys alone.
func (r *rotated) turn(key string) {
	r.weaviate.SetKeys(allowed(key + "-of-weaviate"))
	r.odoo.SetKey(key + "-of-odoo")
}

// allowed is a key that may do what Hearth does.
func allowed(key string) map[string]weaviatetest.User {
	may := []weaviatetest.Permission{{Action: "read_data"}, {Action: "create_data"}, {Action: "update_data"}, {Action: "read_collections"}}
	return map[string]weaviatetest.User{key: {Name: "hearth", Permissions: may}}
}

func (r *rotated) refusals() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return map[string]int{"weaviate": r.refused["weaviate"], "odoo": r.refused["odoo"]}
}

// read, write and the calls of Odoo, of which none is answered from memory.
func rotationCalls(i int) map[string][3]string {
	return map[string][3]string{
		"gRPC read":  {http.MethodGet, fmt.Sprintf("/v1/chats/c%d/mute", i), ""},
		"REST write": {http.MethodPost, fmt.Sprintf("/v1/chats/c%d/messages", i), `{"role":"user","content":"hello"}`},
		"Odoo read":  {http.MethodPost, "/v1/odoo/call", fmt.Sprintf(`{"model":"res.partner","method":"search_count","args":[[["id",">",%d]]]}`, i)},
		"Odoo write": {http.MethodPost, "/v1/odoo/call", fmt.Sprintf(`{"model":"res.partner","method":"create","args":[{"name":"n%d"}]}`, i)},
	}
}

func (r *rotated) want(t *testing.T, p *process, names ...string) {
	t.Helper()
	for i, name := range names {
		c := rotationCalls(len(r.refusals()) + i)[name]
		if status, body := send(t, c[0], p.addr, c[1], c[2]); status != http.StatusOK && status != http.StatusCreated {
			t.Errorf("%s: %d %s\n%s", name, status, body, p.log.String())
		}
	}
}

// Whatever call is the first after a rotation: one refusal for each upstream, and no failed call.
func TestARotatedSecretFailsNoCall(t *testing.T) {
	for _, tc := range []struct {
		name  string
		odoo  odootest.Config
		env   string
		first string
	}{
		{"JSON-2, reads first", odootest.Config{}, "HEARTH_ODOO_PROTOCOL=json2", "read"},
		{"JSON-2, writes first", odootest.Config{}, "HEARTH_ODOO_PROTOCOL=json2", "write"},
		{"JSON-RPC, reads first", odootest.Config{Version: 17}, "HEARTH_ODOO_PROTOCOL=jsonrpc", "read"},
		{"JSON-RPC, writes first", odootest.Config{Version: 17}, "HEARTH_ODOO_PROTOCOL=jsonrpc", "write"},
		{"auto", odootest.Config{}, "HEARTH_ODOO_PROTOCOL=auto", "write"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRotated(t, tc.odoo, tc.env, "HEARTH_TTL_ODOO_READ=0s", "HEARTH_TTL_MUTE=0s")
			p := serving(t, r.env...)
			all := []string{"gRPC read", "REST write", "Odoo read", "Odoo write"}
			if tc.first == "write" {
				all = []string{"REST write", "gRPC read", "Odoo write", "Odoo read"}
			}
			r.want(t, p, all...)
			if got := r.refusals(); got["weaviate"]+got["odoo"] != 0 || r.aws.Asked(weaviateARN) != 1 || r.aws.Asked(odooARN) != 1 || r.aws.Asked(openAIARN) != 1 {
				t.Fatalf("before the rotation: refused %v, asked %d, %d, %d times", got, r.aws.Asked(weaviateARN), r.aws.Asked(odooARN), r.aws.Asked(openAIARN))
			}
			r.rotate("key-two")
			r.want(t, p, all...)
			r.want(t, p, all...)
			if got := r.refusals(); got["weaviate"] != 1 || got["odoo"] != 1 || r.aws.Asked(weaviateARN) != 2 || r.aws.Asked(odooARN) != 2 {
				t.Errorf("after it: refused %v, asked %d and %d times", got, r.aws.Asked(weaviateARN), r.aws.Asked(odooARN))
			}
			t.Logf("rotated: refused %v, failed calls 0, asked for weaviate's secret %d times, for odoo's %d", r.refusals(), r.aws.Asked(weaviateARN), r.aws.Asked(odooARN))
		})
	}
}

// Many calls at once are refused, and make one request for the secret.
func TestCallsAtOnceShareOneRenewal(t *testing.T) {
	r := newRotated(t, odootest.Config{}, "HEARTH_TTL_ODOO_READ=0s", "HEARTH_TTL_MUTE=0s", "HEARTH_WEAVIATE_CONNECTIONS=16", "HEARTH_ODOO_CONNECTIONS=8")
	p := serving(t, r.env...)
	r.want(t, p, "gRPC read", "Odoo read")
	r.rotate("key-two")
	var calls sync.WaitGroup
	for i := range 24 {
		for name, c := range rotationCalls(i) {
			calls.Go(func() {
				if status, body := send(t, c[0], p.addr, c[1], c[2]); status != http.StatusOK && status != http.StatusCreated {
					t.Errorf("%s: %d %s", name, status, body)
				}
			})
		}
	}
	calls.Wait()
	if r.aws.Asked(weaviateARN) != 2 || r.aws.Asked(odooARN) != 2 {
		t.Errorf("asked %d and %d times", r.aws.Asked(weaviateARN), r.aws.Asked(odooARN))
	}
}

// A key that is refused and not rotated is not asked for at each call.
func TestARefusedKeyThatIsNotRotatedStandsRefused(t *testing.T) {
	r := newRotated(t, odootest.Config{}, "HEARTH_TTL_ODOO_READ=0s", "HEARTH_TTL_MUTE=0s")
	p := serving(t, r.env...)
	r.want(t, p, "gRPC read", "Odoo read")
	r.turn("key-two")
	for range 5 {
		for name, c := range rotationCalls(1) {
			status, body := send(t, c[0], p.addr, c[1], c[2])
			if status != http.StatusBadGateway || strings.Contains(body, `"retryable":true`) {
				t.Errorf("%s: %d %s", name, status, body)
			}
		}
	}
	if w, o := r.aws.Asked(weaviateARN), r.aws.Asked(odooARN); w != 2 || o != 2 {
		t.Errorf("asked %d and %d times", w, o)
	}
}

func TestASecretThatCannotBeHadIsOneFaultAndTheOtherUpstreamWorks(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil  func(*awstest.Server)
		says   string
		retry  bool
		checks string
	}{
		"denied": {func(s *awstest.Server) {
			s.Fail(odooARN, awstest.Failure{Code: "AccessDeniedException", Message: "User: x is not authorized to perform: secretsmanager:GetSecretValue"})
		}, "HEARTH_ODOO_KEY: " + odooARN + ": AccessDeniedException: User: x is not authorized", false, "secretsmanager:GetSecretValue"},
		"throttled": {
			func(s *awstest.Server) {
				s.Fail(odooARN, awstest.Failure{Code: "ThrottlingException", Message: "Rate exceeded"})
			},
			"HEARTH_ODOO_KEY: " + odooARN + ": ThrottlingException: Rate exceeded", true, "ThrottlingException",
		},
		"without the field": {
			func(s *awstest.Server) { s.Set(odooARN, `{"hunter2":"hunter3"}`) },
			"HEARTH_ODOO_KEY: " + odooARN + ` has no field \"password\"`, false, `has no field "password"`,
		},
		"binary": {func(s *awstest.Server) { s.Set(odooARN, []byte("hunter2")) }, "is binary", false, "is binary"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRotated(t, odootest.Config{})
			tc.spoil(r.aws)
			p := serving(t, r.env...)
			r.want(t, p, "gRPC read", "REST write")
			c := rotationCalls(0)["Odoo read"]
			status, body := send(t, c[0], p.addr, c[1], c[2])
			wantAll(t, "the problem", body, tc.says, fmt.Sprintf(`"retryable":%v`, tc.retry), `"upstream":"odoo"`, "errors.md#secret")
			stdout, _, code := command(t, r.env, "check")
			wantAll(t, "check", stdout, "weaviate: HEARTH_WEAVIATE_API_KEY: ok ("+weaviateARN+")", "weaviate: HEARTH_WEAVIATE_HEADERS: X-OpenAI-Api-Key: ok",
				"odoo: HEARTH_ODOO_KEY: failed: "+odooARN, tc.checks, "weaviate: ok (")
			if status != http.StatusBadGateway || code != 1 || strings.Contains(stdout+body+p.log.String(), "hunter") {
				t.Errorf("status %d, exit %d:\n%s%s%s", status, code, stdout, body, p.log.String())
			}
			var problem struct{ Detail string }
			if err := json.Unmarshal([]byte(body), &problem); err != nil || len(problem.Detail) > 1000 {
				t.Errorf("%v: %s", err, body)
			}
		})
	}
}

// The key of a vectorizer is needed by what a vectorizer serves, and by nothing else. A key that comes later is used.
func TestAVectorizersKeyThatCannotBeHadFailsOnlyWhatNeedsIt(t *testing.T) {
	r := newRotated(t, odootest.Config{}, "HEARTH_MESSAGE_CLASS=Talk", "HEARTH_TTL_HISTORY=0s", "HEARTH_TTL_MUTE=0s", "HEARTH_TTL_RELEVANT=0s", "HEARTH_WEAVIATE_TIMEOUT=60s")
	r.weaviate.MustAddClass(`{"class":"Talk","vectorizer":"text2vec-openai","properties":[{"name":"chat_id","dataType":["text"],"tokenization":"field"},` +
		`{"name":"role","dataType":["text"],"tokenization":"field"},{"name":"content","dataType":["text"]},{"name":"created_at","dataType":["date"]}]}`)
	// While the service hangs, nothing waits that needs no vectorizer.
	hanging := make(chan struct{})
	r.aws.SetHook(func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.Contains(req.Header.Get("X-Amz-Target"), "SSM") {
			<-hanging
		}
		return false
	})
	r.aws.Fail(openAIARN, awstest.Failure{Code: "ParameterNotFound", Message: "no"})
	p := serving(t, r.env...)
	vector := "[0.1" + strings.Repeat(",0.1", 63) + "]"
	free := map[string][3]string{
		"history":         {http.MethodGet, "/v1/chats/c/history", ""},
		"mute":            {http.MethodGet, "/v1/chats/c/mute", ""},
		"mute write":      {http.MethodPut, "/v1/chats/c/mute", `{"muted":true}`},
		"bm25":            {http.MethodPost, "/v1/chats/c/relevant", `{"text":"hello","mode":"bm25"}`},
		"a vector":        {http.MethodPost, "/v1/chats/c/relevant", `{"text":"hello","vector":` + vector + `}`},
		"message, vector": {http.MethodPost, "/v1/chats/c/messages", `{"role":"user","content":"hello","vector":` + vector + `}`},
	}
	vectorized := map[string][3]string{
		"near_text": {http.MethodPost, "/v1/chats/c/relevant", `{"text":"hello","mode":"near_text"}`},
		"auto":      {http.MethodPost, "/v1/chats/c/relevant", `{"text":"hello"}`},
		"message":   {http.MethodPost, "/v1/chats/c/messages", `{"role":"user","content":"hello"}`},
	}
	answered := func(calls map[string][3]string) {
		t.Helper()
		for name, c := range calls {
			if status, body := send(t, c[0], p.addr, c[1], c[2]); status != http.StatusOK && status != http.StatusCreated {
				t.Errorf("%s: %d %s", name, status, body)
			}
		}
	}
	answered(free)
	close(hanging)
	answered(free)
	for name, c := range vectorized {
		status, body := send(t, c[0], p.addr, c[1], c[2])
		if status != http.StatusBadGateway {
			t.Errorf("%s: %d %s", name, status, body)
		}
		wantAll(t, name, body, "HEARTH_WEAVIATE_HEADERS: X-OpenAI-Api-Key: "+openAIARN+": ParameterNotFound", "errors.md#secret", `"upstream":"weaviate"`)
	}
	r.aws.Set(openAIARN, "key-of-openai")
	c := vectorized["near_text"]
	for range 100 { // for the pause after a failure
		if status, _ := send(t, c[0], p.addr, c[1], c[2]); status == http.StatusOK {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	answered(vectorized)
	answered(free)
}

func TestAServiceOfSecretsThatHangsHoldsUpOneUpstreamForABoundedTime(t *testing.T) {
	r := newRotated(t, odootest.Config{}, "HEARTH_WEAVIATE_API_KEY=key-one-of-weaviate", "HEARTH_WEAVIATE_HEADERS=", "HEARTH_ODOO_TIMEOUT=400ms")
	r.aws.SetHook(func(_ http.ResponseWriter, req *http.Request) bool { <-testnet.Left(req); return true })
	p := serving(t, r.env...)
	r.want(t, p, "gRPC read")
	c := rotationCalls(0)["Odoo read"]
	status, body := send(t, c[0], p.addr, c[1], c[2])
	wantAll(t, "the problem", body, "HEARTH_ODOO_KEY: ", "no answer from", `"retryable":true`)
	if status != http.StatusBadGateway {
		t.Errorf("%d %s", status, body)
	}
}

// A snapshot holds no secret: before the restore none is asked for, not even by a call of the handler's module.
func TestUnderSnapStartSecretsAreAskedForAfterTheRestore(t *testing.T) {
	r := newRotated(t, odootest.Config{})
	aws := awstest.New(awstest.Keys{ID: "AKIDEXAMPLE", Secret: "aws-secret", Session: "aws-session"}, lambdatest.SessionToken)
	at := upstreamAt(t, aws)
	aws.Set(weaviateARN, "key-one-of-weaviate")
	aws.Set(openAIARN, "key-of-openai")
	aws.Set(odooARN, `{"password":"key-one-of-odoo"}`)
	f := newFunction(t, lambdatest.Config{Init: lambdatest.SnapStart}, append(r.env,
		"AWS_ACCESS_KEY_ID=", "AWS_SESSION_TOKEN=", "AWS_CONTAINER_CREDENTIALS_FULL_URI="+at+awstest.KeysPath, "AWS_ENDPOINT_URL="+at)...)
	if _, err := f.handle(t.Context(), []byte("one")); err == nil || !strings.Contains(err.Error(), "is not asked for before the snapshot is restored") {
		t.Errorf("before the snapshot: %v", err)
	}
	if got := aws.Requests(); len(got) != 0 {
		t.Errorf("before the snapshot AWS was asked %v", got)
	}
	f.freeze(t)
	f.invoke(t, "one") // is the restore
	if w, o, keys := aws.Asked(weaviateARN), aws.Asked(odooARN), aws.Requests()[awstest.KeysPath]; w != 1 || o != 1 || keys < 1 || keys > 3 {
		t.Errorf("after the restore: asked %d and %d times, for keys %d times", w, o, keys)
	}
	stop(t, f.Host, f.hearth)
}
