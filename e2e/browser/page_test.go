// Package browser drives the page at /debug/ in a headless Chromium, before a sidecar under load.
//
// Start at TestPage. sidecar_test.go starts the sidecar and makes its load, tab_test.go drives the browser, hostile_test.go lets the API
// answer with names that are markup, and screenshots_test.go writes the pictures of the README.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"hearth/internal/testing/await"
)

func TestPage(t *testing.T) {
	bin, chromium := build(t), startChromium(t)
	free, locked := start(t, bin, "", 0), start(t, bin, "a token of the test", 0)
	for _, c := range []struct {
		name string
		test func(*testing.T, context.Context, *sidecar)
		s    *sidecar
	}{
		{"shows what happens under load", showsTheLoad, free},
		{"rests while nobody looks", rests, free},
		{"is operated by keyboard alone", byKeyboard, free},
		{"shows names as they are", showsNamesAsTheyAre, free},
		{"asks for the token", asksForToken, locked},
		{"is accessible", isAccessible, locked},
		{"says that the sidecar is gone", saysGone, locked},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := range 3 {
				if err := c.s.turn(t.Context(), "chat", fmt.Sprint("Question ", n)); err != nil {
					t.Fatal(err)
				}
			}
			c.test(t, chromium, c.s)
		})
	}
}

const (
	dataShown = `!document.getElementById('data').hidden && document.querySelector('#list details') !== null`
	formShown = `!document.getElementById('door').hidden`
	curve     = `document.querySelector('#curve .curve').getAttribute('d') ?? ''`
)

func showsTheLoad(t *testing.T, chromium context.Context, s *sidecar) {
	b := open(t, chromium, s.url+"/debug", hurried)
	b.until(dataShown)
	if at := eval[string](b, "location.href"); at != s.url+"/debug/" {
		t.Errorf("/debug leads to %s", at)
	}
	before := b.text("#overall")
	stop := s.underLoad(t)
	b.until(fmt.Sprintf("document.getElementById('overall').textContent !== %q", before))
	b.until(fmt.Sprintf("(%s).split('h0').length > 10", curve))
	if recent := b.text("#recent"); !strings.HasSuffix(recent, " %") {
		t.Errorf("the hit rate of the last minute is %q", recent)
	}
	stop()

	for selector, wants := range map[string][]string{
		"#status":      {"Updated every 2 s"},
		"#cache":       {"history", "mute", "relevant", "odoo_models", "MiB", "evicted"},
		"#latency":     {"hearth.preprocess", "hearth.append", "lambda_handler_total", "p99"},
		"#advice":      {"Advice"},
		"#pools":       {"weaviate", "odoo", "Breaker", "closed", "Round trip p50"},
		"#invocations": {"now", " calls", "hearth.preprocess", "history hit", "measured by the handler", "trace 1-67891233-", "function "},
	} {
		text := b.text(selector)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not show %q but:\n%s", selector, want, text)
			}
		}
	}
	if n := eval[int](b, "document.querySelectorAll('#list details').length"); n != 31 {
		t.Errorf("%d invocations are shown, not the newest 30 and the open one", n)
	}
	if n := eval[int](b, "document.querySelectorAll('#list details[open] .track').length"); n < 2 {
		t.Errorf("the waterfall has %d calls", n)
	}
	b.isClean(s)
}

func asksForToken(t *testing.T, chromium context.Context, s *sidecar) {
	b := open(t, chromium, s.url+"/debug/", hurried)
	b.until(formShown)
	if n := len(b.sent()); n != 1 {
		t.Errorf("the page asks %d times before it has the token", n-1)
	}
	try := func(token string) {
		b.exec(`document.getElementById('token').select()`)
		b.keys(token + kb.Enter)
	}
	try("wrong")
	b.until(`document.getElementById('refused').textContent.includes('refuses this token')`)
	try("wrong ü")
	b.until(`document.getElementById('refused').textContent.includes('ASCII')`)
	try(s.token)
	b.until(dataShown)

	kept := `JSON.stringify([localStorage.length, sessionStorage.length, document.cookie, location.href, history.length, document.getElementById('token').value])`
	if got, want := eval[string](b, kept), fmt.Sprintf(`[0,0,"","%s/debug/",2,""]`, s.url); got != want {
		t.Errorf("the page keeps %s, want %s", got, want)
	}
	if eval[bool](b, fmt.Sprintf("document.documentElement.outerHTML.includes(%q)", s.token)) {
		t.Error("the token is in the document")
	}
	for _, r := range b.sent() {
		if strings.Contains(r.URL, "token") {
			t.Errorf("a request for %s", r.URL)
		}
	}
	b.isClean(s, "status of 401")
	b.do(chromedp.Reload())
	b.until(formShown)
}

// rests: while the page is hidden or paused it asks nothing.
func rests(t *testing.T, chromium context.Context, s *sidecar) {
	b := open(t, chromium, s.url+"/debug/", hurried)
	b.until(dataShown)
	hide := func(hidden bool) {
		b.exec(fmt.Sprintf(`Object.defineProperty(document, 'hidden', { value: %t, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))`, hidden))
	}
	asksNothing := func(when string) {
		t.Helper()
		asked := len(b.sent())
		b.exec(`(async () => { for (let i = 0; i < 10; i++) await new Promise(done => setTimeout(done, 2000)); })()`) // ten of its intervals
		if n := len(b.sent()) - asked; n > 0 {
			t.Errorf("the page asks %d times while it is %s", n, when)
		}
	}
	asksAgain := func() {
		t.Helper()
		asked := len(b.sent())
		await.That(t, "the page asks again", func() bool { return len(b.sent()) > asked+10 })
	}
	asksAgain()
	hide(true)
	asksNothing("hidden")
	hide(false)
	asksAgain()
	b.do(chromedp.Click(chromedp.CSS("#pause")))
	if !strings.HasPrefix(b.text("#status"), "Paused at ") || b.text("#pause") != "Resume" {
		t.Errorf("the page says %q and offers to %q", b.text("#status"), b.text("#pause"))
	}
	asksNothing("paused")
	hide(true)
	hide(false)
	asksNothing("paused, and was hidden")
	b.do(chromedp.Click(chromedp.CSS("#pause")))
	asksAgain()
	b.isClean(s)
}

func byKeyboard(t *testing.T, chromium context.Context, s *sidecar) {
	b := open(t, chromium, s.url+"/debug/", hurried)
	b.until(dataShown)
	b.keys(kb.Tab)
	if on := eval[string](b, "document.activeElement.id"); on != "pause" {
		t.Fatalf("the first stop is %q, not the button", on)
	}
	b.keys(" ")
	b.until(`document.getElementById('status').textContent.startsWith('Paused')`) // and nothing moves while the stops are counted

	all := `[...document.querySelectorAll('button, input, summary, [tabindex="0"]')].filter(e => e.checkVisibility())`
	want := eval[int](b, all+".length")
	for n := range want {
		if at := eval[int](b, all+".indexOf(document.activeElement)"); at != n {
			t.Fatalf("stop %d of the keyboard is at element %d: %s", n, at, eval[string](b, "document.activeElement.outerHTML.slice(0, 200)"))
		}
		if eval[string](b, "getComputedStyle(document.activeElement).outlineStyle") == "none" {
			t.Errorf("the focus cannot be seen: %s", eval[string](b, "document.activeElement.outerHTML.slice(0, 200)"))
		}
		if n < want-1 {
			b.keys(kb.Tab)
		}
	}
	closed := `document.activeElement.tagName === 'SUMMARY' && !document.activeElement.parentElement.open`
	if !eval[bool](b, closed) {
		t.Fatal("the last stop is not a closed invocation")
	}
	b.keys(kb.Enter)
	b.until(`document.activeElement.parentElement.open && document.activeElement.nextElementSibling.innerText.includes('hearth.')`)
	b.exec(`window.opened = document.activeElement; document.getElementById('pause').focus()`)
	b.keys(kb.Enter)
	if err := s.turn(t.Context(), "chat", "Another question"); err != nil {
		t.Fatal(err)
	}
	b.until(`document.querySelector('#list summary').innerText.includes(' calls') && [...document.querySelectorAll('#list summary')].indexOf(window.opened) > 0`)
	if !eval[bool](b, `window.opened.isConnected && window.opened.parentElement.open`) {
		t.Error("an open invocation closes when a new one comes")
	}
	b.isClean(s)
}

func isAccessible(t *testing.T, chromium context.Context, s *sidecar) {
	rules := axeRules(t)
	stop := s.underLoad(t)
	b := open(t, chromium, s.url+"/debug/", hurried)
	b.until(formShown)
	b.exec(rules)
	check := func(what string) {
		t.Helper()
		for _, l := range looks() {
			b.show(l)
			b.until(fmt.Sprintf("innerWidth === %d && matchMedia('(prefers-color-scheme: dark)').matches === %t", l.width, l.dark))
			type violation struct {
				ID, Impact, Help string
				Nodes            []struct{ HTML, FailureSummary string }
			}
			var got []violation
			text := eval[string](b, `axe.run(document, { resultTypes: ['violations'] }).then(r => JSON.stringify(r.violations))`)
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatal(err)
			}
			for _, v := range got {
				t.Errorf("%s, %s: %s (%s): %s: %s", what, l.name, v.ID, v.Impact, v.Help, v.Nodes)
			}
			if excess := eval[int](b, "document.documentElement.scrollWidth - innerWidth"); excess > 0 {
				t.Errorf("%s, %s: the page is %d pixels wider than the window: %s", what, l.name, excess,
					eval[string](b, "[...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > innerWidth && !e.closest('.wide')).map(e => e.outerHTML.slice(0, 80)).join('\\n')"))
			}
		}
	}
	check("the form")
	b.do(chromedp.Focus(chromedp.CSS("#token")), chromedp.KeyEvent("wrong"+kb.Enter))
	b.until(`document.getElementById('refused').textContent !== ''`)
	check("the form after a wrong token")
	b.exec(`document.getElementById('token').select()`)
	b.keys(s.token + kb.Enter)
	b.until(dataShown)
	b.until(fmt.Sprintf("(%s).split('h0').length > 3", curve))
	stop()
	check("with data")
}

func saysGone(t *testing.T, chromium context.Context, s *sidecar) {
	b := open(t, chromium, s.url+"/debug/", hurried)
	b.until(formShown)
	b.do(chromedp.Focus(chromedp.CSS("#token")), chromedp.KeyEvent(s.token+kb.Enter))
	b.until(dataShown)
	s.stop()
	b.until(`document.getElementById('status').textContent.startsWith('The sidecar has not answered since ')`)
	if !eval[bool](b, dataShown) {
		t.Error("the data is gone too")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.ContainsFunc(b.faults, func(f string) bool { return strings.Contains(f, "Uncaught") }) {
		t.Error(b.faults)
	}
}
