package odootest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is one of those compared: the stand-in or a real one.
type server struct {
	url    string
	client *http.Client
	cfg    Config
	ids    []string // those it gave out, for $1, $2 …
}

func standIn(t *testing.T, cfg Config) *server {
	t.Helper()
	s := New(cfg)
	s.models["res.partner"].last = 4710 // ids that are no other numbers
	ts := httptest.NewServer(s)
	t.Cleanup(ts.Close)
	return &server{url: ts.URL, client: ts.Client(), cfg: s.cfg}
}

// fill puts the server's own values into a step.
func (s *server) fill(text string) string {
	pairs := []string{"$key", s.cfg.Key, "$db", s.cfg.DB, "$uid", strconv.Itoa(s.cfg.UID), "$login", s.cfg.Login}
	for i, id := range s.ids {
		pairs = append(pairs, "$"+strconv.Itoa(i+1), id)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// as rewrites an answer of s into what other would say: with other's ids.
func (s *server) as(other *server, answer string) string {
	for i, id := range s.ids {
		answer = strings.ReplaceAll(answer, id, other.ids[i])
	}
	return answer
}

var number = regexp.MustCompile(`"result": *\[?(\d+)|^\[(\d+)\]`)

func (s *server) do(t *testing.T, st step) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), cmp.Or(st.method, "POST"), s.url+st.path, strings.NewReader(s.fill(st.body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range st.header {
		req.Header.Set(k, s.fill(v))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if m := number.FindSubmatch(b); st.keep && m != nil {
		s.ids = append(s.ids, string(bytes.Join(m[1:], nil)))
	}
	if _, err := decode(b); err != nil && !st.text && !strings.HasPrefix(string(b), "Invalid") {
		t.Errorf("%s: no JSON: %s", st.name, b)
	}
	return resp.StatusCode, string(b)
}

func (st step) check(s *server, status int, body string) error {
	if want := cmp.Or(st.status, 200); status != want {
		return fmt.Errorf("status %d, want %d\n%s", status, want, body)
	}
	if want := s.fill(st.want); !strings.Contains(compact(body), want) {
		return fmt.Errorf("%s\nhas no %s", body, want)
	}
	return nil
}

func TestAnswers(t *testing.T) {
	s := standIn(t, Config{})
	for _, st := range steps() {
		status, body := s.do(t, st)
		if err := st.check(s, status, body); err != nil {
			t.Errorf("%s: %v", st.name, err)
		}
	}
}

// TestSameAsReal sends the same requests to the stand-in and to the Odoo 19 at HEARTH_REAL_ODOO, on contacts of its
// own that it deletes, and compares the answers. HEARTH_ODOO_DB, _USER, _KEY and _UID say how to get in.
func TestSameAsReal(t *testing.T) {
	url := os.Getenv("HEARTH_REAL_ODOO")
	if url == "" {
		t.Skip("HEARTH_REAL_ODOO is not set to the URL of an Odoo to compare with")
	}
	uid, _ := strconv.Atoi(os.Getenv("HEARTH_ODOO_UID"))
	cfg := Config{DB: os.Getenv("HEARTH_ODOO_DB"), Login: os.Getenv("HEARTH_ODOO_USER"), Key: os.Getenv("HEARTH_ODOO_KEY"), UID: uid}
	ours := standIn(t, cfg)
	real := &server{url: strings.TrimSuffix(url, "/"), client: &http.Client{Transport: &http.Transport{}}, cfg: ours.cfg}
	defer real.client.CloseIdleConnections()
	defer func() { // what is left over after a failure
		if len(real.ids) > 0 {
			real.do(t, j2("res.partner/unlink", `{"ids":[`+strings.Join(real.ids, ",")+`]}`, 0, "").asText())
		}
	}()
	same, all := 0, steps()
	for _, st := range all {
		gotStatus, got := ours.do(t, st)
		wantStatus, want := real.do(t, st)
		if err := st.check(real, wantStatus, want); err != nil {
			t.Errorf("%s: the real server: %v", st.name, err)
		}
		if len(ours.ids) != len(real.ids) {
			t.Fatalf("%s: no id from one of them: %s, %s", st.name, got, want)
		}
		why := ""
		if gotStatus != wantStatus {
			why = "status"
		} else if !st.text {
			why = difference(parse(ours.as(real, got)), parse(want), st.shape)
		}
		if why != "" {
			t.Errorf("%s:\nstand-in %d %.900s\nreal     %d %.900s\n%s", st.name, gotStatus, got, wantStatus, want, why)
			continue
		}
		same++
	}
	t.Logf("%d of %d answers are the same", same, len(all))
}

func parse(body string) any {
	var v any
	if json.Unmarshal([]byte(body), &v) != nil {
		return body
	}
	return v
}

// difference compares answers but for tracebacks; with shape only the kinds of values, and lists by their first item.
func difference(got, want any, shape bool) string {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(want) {
			return fmt.Sprintf("%v is not %v", got, want)
		}
		for k, w := range want {
			if k == "debug" {
				if text, ok := g[k].(string); !ok || text == "" {
					return "no traceback"
				}
				continue
			}
			if why := difference(g[k], w, shape); why != "" {
				return k + ": " + why
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || !shape && len(g) != len(want) {
			return fmt.Sprintf("%v is not %v", got, want)
		}
		for i := range min(len(g), len(want)) {
			if why := difference(g[i], want[i], shape); why != "" {
				return fmt.Sprintf("[%d] %s", i, why)
			}
		}
		return ""
	}
	if shape && reflect.TypeOf(got) == reflect.TypeOf(want) || reflect.DeepEqual(got, want) {
		return ""
	}
	return fmt.Sprintf("%v is not %v", got, want)
}
