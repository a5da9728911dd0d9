// Package browser drives the page at /debug/ in a headless Chromium, before a sidecar under load.
//
// Start at TestPage. sidecar_test.go starts the sidecar and makes its load, and tab_test.go drives the browser. access_test.go checks that
// everybody can use the page. hostile_test.go lets the API answer with names that are markup. load_test.go lets it answer with very much
// data, with none, slowly, and for hours. screenshots_test.go writes the pictures of the README.
package browser

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

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
		{"shows nothing as nothing", showsNothing, free},
		{"tells the hit rate", tellsTheHitRate, free},
		{"shows much at once", showsMuch, free},
		{"polls once at a time", pollsOnceAtATime, free},
		{"keeps its size", keepsItsSize, free},
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
	silent    = `document.getElementById('status').textContent.startsWith('The sidecar has not answered since ')`
	well      = `document.getElementById('status').textContent === 'Updated every 2 s'`
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
		"#pools":       {"odoo", "weaviate", "weaviate gRPC", "weaviate REST", "Breaker", "closed", "Round trip p50"},
		"#invocations": {" calls", "Start ms", "hearth.preprocess", "history hit", "measured by the handler", "trace 1-67891233-", "function "},
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
	calls := `[...document.querySelectorAll('#list details[open] tbody tr')].filter(r => r.querySelector('svg'))`
	if n := eval[int](b, calls+".length"); n < 2 {
		t.Errorf("the waterfall has %d calls", n)
	}
	misplaced := `.filter(row => {
		const whole = parseFloat(document.querySelector('#list details[open] .axis').lastChild.textContent), { x, width } = row.querySelector('rect:last-child');
		const [start, took] = [2, 3].map(i => parseFloat(row.cells[i].textContent)), differ = (bar, number) => Math.abs(bar.baseVal.value / 1000 - number / whole) > 0.01;
		return differ(x, start) || differ(width, took);
	}).map(row => row.outerHTML).join()`
	if got := eval[string](b, calls+misplaced); got != "" {
		t.Errorf("bars that are not at their calls' times: %s", got)
	}
	b.isClean(s)
}

func asksForToken(t *testing.T, chromium context.Context, s *sidecar) {
	b := open(t, chromium, s.url+"/debug/", hurried)
	b.until(formShown)
	if n := len(b.sent()); n != 1 {
		t.Errorf("the page asks %d times before it has the token", n-1)
	}
	told := `document.querySelector('#token[aria-describedby="refused token-help"]') && document.querySelector('#refused[role=alert]') && document.querySelector('#status[role=status]')`
	if !eval[bool](b, "!!("+told+")") {
		t.Error("a screen reader is not told of what the form and the page have to say")
	}
	b.enter("wrong")
	b.until(`document.getElementById('refused').textContent.includes('refuses this token')`)
	b.enter("wrong ü")
	b.until(`document.getElementById('refused').textContent.includes('ASCII')`)
	b.enter(s.token)
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
	b.hide(true)
	asksNothing("hidden")
	b.hide(false)
	asksAgain()
	b.do(chromedp.Click(chromedp.CSS("#pause")))
	if !strings.HasPrefix(b.text("#status"), "Paused at ") || b.text("#pause") != "Resume" {
		t.Errorf("the page says %q and offers to %q", b.text("#status"), b.text("#pause"))
	}
	asksNothing("paused")
	b.hide(true)
	b.hide(false)
	asksNothing("paused, and was hidden")
	b.do(chromedp.Click(chromedp.CSS("#pause")))
	asksAgain()
	b.isClean(s)
}

// saysGone freezes, thaws and ends the sidecar while the page is open, and starts it again, the second time with another token.
func saysGone(t *testing.T, chromium context.Context, s *sidecar) {
	b := open(t, chromium, s.url+"/debug/", hurried)
	b.until(formShown)
	b.enter(s.token)
	b.until(dataShown)
	s.signal(syscall.SIGSTOP)
	b.until(silent)
	s.signal(syscall.SIGCONT)
	b.until(well)
	s.stop()
	b.until(silent)
	if !eval[bool](b, dataShown) {
		t.Error("the data is gone too")
	}
	s.run(t)
	b.until(well)
	s.stop()
	s.token = "the token of the third"
	s.run(t)
	b.until(formShown + ` && document.getElementById('refused').textContent === 'The sidecar refuses this token.'`)
	b.enter(s.token)
	b.until(dataShown)
	b.isClean(s, "ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "status of 401")
}
