package browser

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"hearth/internal/testing/await"
)

// startChromium starts a headless Chromium, which ends with the test.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.NoSandbox) // Chromium refuses its sandbox to root
	for _, name := range []string{"chromium-headless-shell", "chromium", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			options = append(options, chromedp.ExecPath(path))
			break
		}
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// tab is a tab of a profile of its own. It records what the page asks for and what goes wrong in it.
type tab struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []*network.Request
	faults   []string // exceptions, and errors and warnings of the console
}

// hurried makes the page's own waits shorter, so that a test need not wait for it.
const hurried = `{ const wait = setTimeout; window.setTimeout = (f, ms) => wait(f, ms / 20); }`

// look is how the page is shown.
type look struct {
	name          string
	width, height int64
	dark          bool
}

func looks() []look {
	return []look{
		{name: "light", width: 1280, height: 900},
		{name: "dark", width: 1280, height: 900, dark: true},
		{name: "zoomed", width: 640, height: 450}, // a window of 1280 pixels at 200 %
		{name: "phone", width: 320, height: 640},
		{name: "dark phone", width: 320, height: 640, dark: true},
	}
}

// show shows the page so.
func (b *tab) show(l look) {
	b.Helper()
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.width < 500,
	})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
}

// open opens a URL in a new tab, which ends with the test. The page runs the scripts before its own.
func open(t *testing.T, chromium context.Context, url string, scripts ...string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{T: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	for _, script := range scripts {
		call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
	}
	b.show(looks()[0])
	b.do(chromedp.Navigate(url))
	return b
}

func (b *tab) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request)
	case *network.EventWebSocketCreated:
		b.requests = append(b.requests, &network.Request{URL: e.URL})
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, exception(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		b.faults = append(b.faults, fmt.Sprintf("console.%s %s", e.Type, e.Args[0].Value))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.faults = append(b.faults, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	}
}

type action = chromedp.Action[chromedp.Void]

func (b *tab) do(actions ...action) {
	b.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// call runs a command of the protocol on the tab.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.Fatal(err)
	}
	return result
}

// eval is what an expression has as its value in the page.
func eval[T any](b *tab, expression string) T {
	b.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%.200s: %v", expression, err)
	}
	return value
}

// exec runs a script in the page, and waits until its promise is kept.
func (b *tab) exec(script string) {
	b.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](script, chromedp.EvalAwaitPromise))
}

// keys presses keys.
func (b *tab) keys(keys string) {
	b.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// enter types a token into the form, and sends it.
func (b *tab) enter(token string) {
	b.Helper()
	b.exec(`document.getElementById('token').select()`)
	b.keys(token + kb.Enter)
}

// hide lets the page believe that its tab is hidden, or shown again.
func (b *tab) hide(hidden bool) {
	b.Helper()
	b.exec(fmt.Sprintf(`Object.defineProperty(document, 'hidden', { value: %t, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))`, hidden))
}

// fits fails the test if the page is wider than its window, or if a text is cut off.
func (b *tab) fits(l look) {
	b.Helper()
	b.until(fmt.Sprintf("document.documentElement.clientWidth === %d && matchMedia('(prefers-color-scheme: dark)').matches === %t", l.width, l.dark))
	if excess := eval[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); excess > 0 {
		b.Errorf("%s: the page is %d pixels wider than the window: %s", l.name, excess,
			eval[string](b, "[...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth && !e.closest('.wide')).map(e => e.outerHTML.slice(0, 80)).join('\\n')"))
	}
	cut := `[...document.body.querySelectorAll('*')].filter(e => e instanceof HTMLElement && !e.matches('.wide') && e.checkVisibility() && getComputedStyle(e).display !== 'inline' && e.scrollWidth > e.clientWidth + 1)`
	if got := eval[string](b, cut+".map(e => `${e.scrollWidth} in ${e.clientWidth}: ${e.outerHTML.slice(0, 120)}`).join('\\n')"); got != "" {
		b.Errorf("%s: this is wider than its place: %.1000s", l.name, got)
	}
	overlap := `[...document.querySelectorAll('th, td')].filter(e => e.checkVisibility()).filter(e => [...e.parentElement.cells].some(other => {
		const a = e.getBoundingClientRect(), b = other.getBoundingClientRect();
		return other !== e && b.width > 0 && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
	}))`
	if got := eval[string](b, overlap+".map(e => e.outerHTML.slice(0, 120)).join('\\n')"); got != "" {
		b.Errorf("%s: cells that overlap: %.1000s", l.name, got)
	}
}

// until waits until an expression is true in the page.
func (b *tab) until(expression string) {
	b.Helper()
	await.That(b.T, expression, func() bool { return eval[bool](b, expression) })
}

// text is the text of the first element that a selector finds, as it is shown.
func (b *tab) text(selector string) string {
	b.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
}

// sent are the requests so far.
func (b *tab) sent() []*network.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.requests)
}

// isClean fails the test if the page asked another server than the sidecar, if it shows a text such as undefined or NaN, or if it reported
// an error that contains none of the given texts.
func (b *tab) isClean(s *sidecar, but ...string) {
	b.Helper()
	if odd := eval[string](b, `(document.body.innerText.match(/.*(\bNaN\b|undefined|Infinity|\bnull\b|\[object).*/g) ?? []).join()`); odd != "" {
		b.Errorf("the page shows %.500s", odd)
	}
	for _, r := range b.sent() {
		if !strings.HasPrefix(r.URL, s.url+"/debug") {
			b.Errorf("the page asks for %s", r.URL)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fault := range b.faults {
		if !slices.ContainsFunc(but, func(text string) bool { return strings.Contains(fault, text) }) {
			b.Errorf("in the page: %s", fault)
		}
	}
}

func exception(d *runtime.ExceptionDetails) string {
	if d.Exception != nil {
		return d.Text + " " + d.Exception.Description
	}
	return d.Text
}
