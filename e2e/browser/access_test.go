package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

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
			b.fits(l)
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
			for fault, find := range faults() {
				if got := eval[string](b, `[...document.body.querySelectorAll('*')].filter(e => e.checkVisibility()).filter(`+find+`).map(e => e.outerHTML.slice(0, 120)).join('\n')`); got != "" {
					t.Errorf("%s, %s: %s: %.1000s", what, l.name, fault, got)
				}
			}
		}
	}
	check("the form")
	b.enter("wrong")
	b.until(`document.getElementById('refused').textContent !== ''`)
	check("the form after a wrong token")
	b.enter(s.token)
	b.until(dataShown)
	b.until(fmt.Sprintf("(%s).split('h0').length > 3", curve))
	stop()
	check("with data")

	n := eval[int](b, scrolling+".length") // it is as narrow as a phone
	if n < 3 {
		t.Errorf("%d regions scroll on a phone, not three tables", n)
	}
	for i := range n {
		b.exec(fmt.Sprintf("window.region = %s[%d]; region.focus()", scrolling, i))
		b.keys(kb.ArrowRight)
		b.until("region.scrollLeft > 0")
	}
	b.isClean(s, "status of 401")
}

const scrolling = `[...document.querySelectorAll('*')].filter(e => /auto|scroll/.test(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth)`

// faults are functions that find the elements with a fault that axe does not look for.
func faults() map[string]string {
	contrast := `(() => {
		const luminance = color => color.match(/[\d.]+/g).slice(0, 3).map(n => n / 255).map(n => n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4)
			.reduce((sum, n, i) => sum + n * [0.2126, 0.7152, 0.0722][i], 0);
		const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		const page = luminance(getComputedStyle(document.body).backgroundColor);
		return e => contrast(page, luminance(getComputedStyle(e)[e.matches('.curve') ? 'stroke' : 'fill'])) < 3;
	})()`
	return map[string]string{
		"scrolls but the keyboard cannot reach it": `e => /auto|scroll/.test(getComputedStyle(e).overflowX) && !(e.matches('[tabindex="0"][role=region]') && e.getAttribute('aria-label'))`,
		"a picture without words":                  `e => e instanceof SVGSVGElement && e.getAttribute('aria-hidden') !== 'true' && !/\d %|no reads/.test(e.getAttribute('aria-label'))`,
		"a row or column without its header": `e => e.matches('table') && (e.querySelectorAll('thead th[scope=col]').length !== e.rows[0].cells.length ||
			[...e.tBodies[0].rows].some(r => !r.cells[0].matches('th[scope=row]')))`,
		"it moves":                     `e => { const style = getComputedStyle(e); return style.animationName !== 'none' || style.transitionDuration !== '0s' }`,
		"a bar or a curve is too pale": `e => e.matches('.curve, .fill, .cached') && ` + contrast + `(e)`,
		"a target that is too small":   `e => e.matches('button, input, summary') && e.getBoundingClientRect().height < 24`,
	}
}
