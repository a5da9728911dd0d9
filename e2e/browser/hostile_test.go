package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/chromedp"

	"hearth/internal/testing/await"
)

// markup are texts that do something if a page takes them as markup, as a script or as a URL.
func markup() []string {
	return []string{
		`<script>window.ran = true</script>`, `<img src=x onerror="window.ran = true">`, `"><svg onload="window.ran = true">`, `' onmouseover='window.ran = true`,
		`</td></table></style></title></script><script>window.ran = true</script>`, `javascript:window.ran=true`, `<iframe srcdoc="<script>parent.ran = true</script>">`,
		`{{constructor.constructor("window.ran = true")()}}`, `__proto__`, `constructor`, "\u202e\u0000\u2028", `&lt;b&gt;`, strings.Repeat("<b>", 100), "",
	}
}

// showsNamesAsTheyAre lets the sidecar's real replies come with markup in the place of every text and every name.
func showsNamesAsTheyAre(t *testing.T, chromium context.Context, s *sidecar) {
	name := string([]rune(markup()[1] + strings.Repeat("\u202e'\"&\u0301\U0001F600", 30))[:128]) // as long as it may be
	body, _ := json.Marshal(map[string]any{"request_id": name, "timings": []any{map[string]any{"operation": name, "duration_ms": 1, "error": name}}})
	if err := s.post(t.Context(), "/v1/timings", "1-67891233-<b>", string(body)); err != nil {
		t.Fatal(err)
	}
	b := open(t, chromium, s.url+"/debug/", hurried)
	b.until(dataShown)
	b.until(fmt.Sprintf("document.getElementById('latency').textContent.includes(%q) && document.getElementById('list').textContent.includes(%q)", name, "request "+name))
	b.isClean(s)

	var asked atomic.Uint64
	err := chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*fetch.EventRequestPaused); ok {
			go func() { // a listener may not wait
				random := rand.New(rand.NewPCG(1, asked.Add(1)))
				answer := fetch.FulfillRequestParams{RequestID: e.RequestID, ResponseCode: http.StatusOK, Body: hostileReply(t, random, e.Request.URL)}
				_, _ = chromedp.Call(b.ctx, fetch.FulfillRequest, answer) // the last one may come after the test
			}()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	call(b, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: "*/debug/*"}}})
	await.That(t, "the page has asked 20 times", func() bool { return asked.Load() > 20 })
	b.exec(`document.querySelectorAll('details').forEach(d => { d.open = true; })`)
	await.That(t, "the page has asked 60 times", func() bool { return asked.Load() > 60 })
	if status := b.text("#status"); status != "Updated every 2 s" {
		t.Errorf("the page says %q", status)
	}
	if eval[bool](b, "window.ran === true") {
		t.Error("a name ran as a script")
	}
	if n := eval[int](b, "document.querySelectorAll('#advice li').length"); n != 2 {
		t.Errorf("%d sentences of advice are shown, not 2", n)
	}
	if n := eval[int](b, "document.scripts.length"); n != 1 {
		t.Errorf("the page has %d scripts", n)
	}
	strange := `[...document.querySelectorAll('*')].filter(e => /^(a|b|img|iframe|object|embed)$/i.test(e.tagName) || [...e.attributes].some(a => /^on|^src|^href$/.test(a.name) && a.value !== 'data:,'))`
	if got := eval[string](b, strange+".map(e => e.outerHTML).join()"); got != "" {
		t.Errorf("names have become elements or attributes: %s", got)
	}
	if text := b.text("#list"); !strings.Contains(text, markup()[1]) {
		t.Errorf("names are not shown as they are:\n%.2000s", text)
	}
	b.isClean(s)
}

// hostileReply is the reply of a call in the API's own shape, with markup in the place of every name and every text.
func hostileReply(t *testing.T, random *rand.Rand, url string) []byte {
	resp, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if strings.HasSuffix(url, "/debug/advice") {
		text = []byte(`{"advice":[{"rule":"a","text":"a","setting":"a","suggestion":"a"},{"rule":"b","text":"b"}]}`)
	}
	var reply any
	if err := json.Unmarshal(text, &reply); err != nil {
		t.Errorf("%s: %v", url, err)
	}
	text, _ = json.Marshal(poisoned(random, reply, strings.HasSuffix(url, "/debug/pools")))
	return text
}

// poisoned is a value with markup for every text, and for the names of its members if they are not the API's own.
func poisoned(random *rand.Rand, value any, named bool) any {
	one := func() string { return markup()[random.IntN(len(markup()))] }
	switch v := value.(type) {
	case string:
		return one()
	case []any:
		for i := range v {
			v[i] = poisoned(random, v[i], false)
		}
	case map[string]any:
		all := map[string]any{}
		for name, member := range v {
			member = poisoned(random, member, name == "resources" || name == "operations" || name == "cache")
			if named {
				name = one()
			}
			all[name] = member
		}
		return all
	}
	return value
}
