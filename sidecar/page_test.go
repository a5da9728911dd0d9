package sidecar

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hearth/sidecar/chat"
)

func TestThePageNeedsNoTokenAndNothingElseDoes(t *testing.T) {
	a := newAPI(t, newUpstreams(), func(c *Config, _ *chat.Config) { c.Token = "s3cret" })
	for path, want := range map[string]int{
		"/debug/": 200, "/debug": 308, "/healthz": 200, "/debug/?x=1": 400,
		"/debug/cache": 401, "/debug/pools": 401, "/debug/invocations": 401, "/debug/page": 401, "/debug//": 401, "/metrics": 401, "/debug%2F": 401, "/": 401,
	} {
		a.want(want, http.MethodGet, path, "")
	}
	a.want(405, http.MethodPost, "/debug/", "{}")
	a.want(403, http.MethodGet, "/debug/", "", "Sec-Fetch-Site", "cross-site")
	a.want(403, http.MethodGet, "/debug/", "", "Origin", "http://evil.example")
	a.want(403, http.MethodGet, "/debug/", "", "X-Forwarded-For", "10.0.0.1")
	a.want(200, http.MethodGet, "/debug/", "", "Sec-Fetch-Site", "none")
	if to := a.want(308, http.MethodGet, "/debug", "").header.Get("Location"); to != "/debug/" {
		t.Errorf("/debug leads to %q", to)
	}
}

func TestThePageRunsItsOwnScriptAndLoadsNothing(t *testing.T) {
	for token, mark := range map[string]string{"": "none", "s3cret": "needed"} {
		a := newAPI(t, newUpstreams(), func(c *Config, _ *chat.Config) { c.Token = token })
		got := a.want(200, http.MethodGet, "/debug/", "")
		if !strings.Contains(got.body, `data-token="`+mark+`"`) || token != "" && strings.Contains(got.body, token) {
			t.Errorf("with the token %q the page does not say %q, or tells the token", token, mark)
		}
		policy := strings.Split(got.header.Get("Content-Security-Policy"), "; ")
		wants := []string{"default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"}
		for _, tag := range []string{"script", "style"} {
			all := regexp.MustCompile(`(?s)<`+tag+`\b[^>]*>(.*?)</`+tag+`>`).FindAllStringSubmatch(got.body, -1)
			if len(all) != 1 {
				t.Fatalf("the page has %d elements %s", len(all), tag)
			}
			sum := sha256.Sum256([]byte(all[0][1]))
			wants = append(wants, tag+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
		}
		for _, want := range wants {
			if !slices.Contains(policy, want) {
				t.Errorf("the policy %q has no %q", policy, want)
			}
		}
		for name, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s is %q, not %q", name, got.header.Get(name), want)
			}
		}
	}
	if elsewhere := regexp.MustCompile(`https?://[a-z0-9.]+`).FindAllString(string(page), -1); !slices.Equal(elsewhere, []string{"http://www.w3.org"}) {
		t.Errorf("the page names %q: only SVG's namespace may be there", elsewhere)
	}
}
