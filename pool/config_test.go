package pool

import (
	"strings"
	"testing"
	"time"
)

func TestAConfigIsRefusedWithoutShowingItsSecrets(t *testing.T) {
	const secret = "hunter2"
	for name, cfg := range map[string]Config{
		"no URL":              {},
		"no scheme":           {URL: "example.com"},
		"another scheme":      {URL: "ftp://example.com"},
		"no host":             {URL: "http:///path"},
		"a user":              {URL: "https://me@example.com"},
		"a password":          {URL: "https://me:" + secret + "@example.com"},
		"not parsable":        {URL: "https://me:" + secret + "@example.com:port"},
		"a control character": {URL: "https://" + secret + ".example.com/\x7f"},
		"a bad escape":        {URL: "https://me:" + secret + "%zz@example.com"},
		"a query":             {URL: "https://example.com?key=" + secret},
		"an empty query":      {URL: "https://example.com/?"},
		"a fragment":          {URL: "https://example.com#" + secret},
		"a negative size":     {URL: "https://example.com", Size: -1},
		"a negative queue":    {URL: "https://example.com", Queue: -1},
		"a negative timeout":  {URL: "https://example.com", Timeout: -1},
		"a negative dial":     {URL: "https://example.com", DialTimeout: -1},
		"a negative idle":     {URL: "https://example.com", MaxIdle: -1},
		"a negative warm-up":  {URL: "https://example.com", FirstWarm: -1},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Name = "upstream"
			p, err := New(cfg)
			if err == nil {
				p.Close()
				t.Fatal("accepted")
			}
			if text := err.Error(); strings.Contains(text, secret) || !strings.HasPrefix(text, "pool upstream: ") {
				t.Errorf("the error is %q", text)
			}
		})
	}
}

func TestBaseURL(t *testing.T) {
	for url, want := range map[string]string{
		"http://example.com":           "http://example.com",
		"http://example.com/":          "http://example.com",
		"https://example.com:8443/a/b": "https://example.com:8443/a/b",
		"https://example.com/a%2Fb/":   "https://example.com/a%2Fb",
		"http://[::1]:80":              "http://[::1]:80",
	} {
		if got := newPool(t, Config{URL: url}).BaseURL(); got != want {
			t.Errorf("%s becomes %s, want %s", url, got, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	got := Config{}.withDefaults()
	if got.Size != 5 || got.Limit == nil || got.Timeout != 5*time.Second || got.DialTimeout != 3*time.Second ||
		got.MaxIdle != 50*time.Second || got.Answers.Each() != 32<<20 || got.Retries != 2 || got.Ping.Path != "/" || got.Pulse == nil || got.Logger == nil {
		t.Errorf("the defaults are %+v", got)
	}
	if got.FirstWarm != 5 || got.Limit.cfg.Queue != 1024 || got.Limit.size != 5 {
		t.Errorf("%d connections are warmed first, the limit is %+v", got.FirstWarm, got.Limit)
	}
	if got := (Config{FirstWarm: 2}).withDefaults().FirstWarm; got != 2 {
		t.Errorf("%d connections are warmed first, want 2", got)
	}
	if got := (Config{Size: 3, FirstWarm: 10}).withDefaults().FirstWarm; got != 3 {
		t.Errorf("%d connections of 3 are warmed first", got)
	}
	if got := (Config{Policy: Policy{NoReplay: true}, Retries: 5}).withDefaults().Retries; got != 0 {
		t.Errorf("without replays there are %d retries", got)
	}
	if got := (Config{Retries: -1}).withDefaults().Retries; got != 0 {
		t.Errorf("negative retries become %d", got)
	}
	if got := (Config{Timeout: time.Second}).withDefaults().DialTimeout; got != time.Second {
		t.Errorf("with 1s for a call, dialling may take %v", got)
	}
}

func TestAllThatIsWrongWithAConfigIsSaidAtOnce(t *testing.T) {
	_, err := New(Config{Name: "upstream", URL: "ftp://example.com", Variable: "THE_URL", Size: -1, MaxIdle: -1})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"THE_URL must be", "Size must", "MaxIdle must"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
