package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/memory"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// showsNothing opens the page of a sidecar that was asked nothing and has no upstream.
func showsNothing(t *testing.T, chromium context.Context, s *sidecar) {
	idle := startWith(t, s.bin, "", nil)
	b := open(t, chromium, idle.url+"/debug/", hurried)
	b.until(`!document.getElementById('data').hidden`)
	for selector, want := range map[string]string{
		"#recent": "no reads", "#overall": "no reads", "#latency-note": "No operation yet.", "#pools-note": "No upstream is configured.",
		"#advice-note": "There is none.", "#invocations-note": "None yet.",
	} {
		if got := b.text(selector); got != want {
			t.Errorf("%s shows %q, not %q", selector, got, want)
		}
	}
	b.isClean(idle)
}

// counted replaces the cache's counts and the page's clock with those of the test.
const counted = `{
	const ask = fetch, began = Date.now();
	let now = 0;
	Object.assign(window, { asked: 0, hits: 100, misses: 100, seconds: 0 });
	Date.now = () => began + 1000 * now;
	window.fetch = async (path, options) => {
		const reply = await (await ask(path, options)).json();
		if (path === '/debug/cache') { window.asked++; now = window.seconds; Object.assign(reply, { hits: window.hits, stale: 0, misses: window.misses }); }
		return new Response(JSON.stringify(reply));
	};
}`

func tellsTheHitRate(t *testing.T, chromium context.Context, s *sidecar) {
	b := open(t, chromium, s.url+"/debug/", hurried, counted)
	for _, c := range []struct {
		what                  string
		hits, misses, seconds int
		want                  string
	}{
		{"before the second poll", 100, 100, 0, "no reads"},
		{"30 hits and 10 misses", 130, 110, 2, "75.0 %"},
		{"nothing", 130, 110, 4, "75.0 %"},
		{"a new process, which counts from 0", 5, 300, 6, "75.0 %"},
		{"a miss", 5, 301, 8, "73.2 %"},
		{"a minute without a read", 5, 301, 90, "no reads"},
		{"a pause of 10 minutes with reads", 105, 401, 690, "no reads"},
		{"a hit", 106, 401, 692, "100.0 %"},
	} {
		b.exec(fmt.Sprintf("void Object.assign(window, { hits: %d, misses: %d, seconds: %d, asked: 0 })", c.hits, c.misses, c.seconds))
		b.until("window.asked > 1")
		if got := b.text("#recent"); got != c.want {
			t.Errorf("after %s the hit rate of the last minute is %q, not %q", c.what, got, c.want)
		}
	}
	if got := eval[string](b, "document.querySelector('#curve').getAttribute('aria-label')"); !strings.HasSuffix(got, ": lowest 100.0 %, highest 100.0 %, now 100.0 %") {
		t.Errorf("the curve is said to be: %s", got)
	}
	b.isClean(s)
}

// much makes the API's replies as large as they can be, with long names and large numbers.
const much = `{
	const ask = fetch, times = (n, of) => Array.from({ length: n }, (_, i) => of(i)), big = Number.MAX_SAFE_INTEGER;
	const odd = n => (n + '<img src=x onerror="window.ran = true">\u202e\u0301\ud83d\ude00').padEnd(128, 'W');
	const biggest = (_, value) => typeof value === 'number' ? big : value;
	window.fetch = async (path, options) => {
		const reply = JSON.parse(await (await ask(path, options)).text(), path === '/debug/invocations' ? undefined : biggest);
		if (path === '/debug/invocations') {
			const one = reply.invocations[0];
			reply.invocations = times(200, i => ({ ...one, id: odd(i), request_id: odd(i), cold: true, frozen_ms: 1e8, duration_ms: 64e3, dropped_operations: 1000,
				operations: times(64, n => ({ operation: odd(n), start_ms: 1e3 * n, duration_ms: 999, status: 599, cache: Object.fromEntries(times(4, p => [odd(p), 'miss'])) })),
				timings: times(100, n => ({ operation: odd(n), duration_ms: 1e9, error: odd(n) })) }));
			reply.operations = Object.fromEntries(times(2000, n => [odd(n), { count: big, p50_ms: 0, p90_ms: 1e9, p99_ms: 1e9, max_ms: 1e9 }]));
		}
		if (path === '/debug/pools') times(100, n => { reply[odd(n)] = reply.odoo; });
		if (path === '/debug/advice') reply.advice = times(20, n => ({ rule: odd(n), text: odd(n), setting: odd(n), suggestion: odd(n) }));
		return new Response(JSON.stringify(reply));
	};
}`

func showsMuch(t *testing.T, chromium context.Context, s *sidecar) {
	b := open(t, chromium, s.url+"/debug/", hurried, much)
	b.until(dataShown)
	b.do(chromedp.Click(chromedp.CSS("#pause")))
	for selector, wants := range map[string][]string{
		"#latency-note":     {"1,936 more operations are not shown."},
		"#pools-note":       {"92 more pools are not shown."},
		"#invocations-note": {"The newest 30 of 200."},
		"#list":             {"1,064 calls", "64 failed", "1,000 more calls are not shown."},
	} {
		for _, want := range wants {
			if text := b.text(selector); !strings.Contains(text, want) {
				t.Errorf("%s does not show %q but:\n%.1000s", selector, want, text)
			}
		}
	}
	if n := eval[int](b, "document.querySelectorAll('#list details[open] tbody tr').length"); n != 164 {
		t.Errorf("the waterfall has %d rows, not 64 calls and 100 timings", n)
	}
	if n := eval[int](b, "document.querySelectorAll('*').length"); n > 10_000 {
		t.Errorf("the page has %d elements", n)
	}
	if eval[bool](b, "window.ran === true") {
		t.Error("a name ran as a script")
	}
	for _, l := range looks() {
		b.show(l)
		b.fits(l)
	}
	b.isClean(s)
}

// slow lets every third request fail at once and the others take longer than the page waits between polls. It counts how many requests for
// one path are under way together.
const slow = `{
	const ask = fetch, wait = setTimeout, flying = {};
	window.asked = window.together = 0;
	window.fetch = async (path, options) => {
		flying[path] = (flying[path] ?? 0) + 1;
		window.together = Math.max(window.together, flying[path]);
		try {
			if (++window.asked % 3 === 0) return new Response('{"detail":"It failed."}', { status: 500, headers: { 'Content-Type': 'application/problem+json' } });
			await new Promise((done, fail) => { wait(done, 300); options.signal.addEventListener('abort', () => fail(options.signal.reason)); });
			return await ask(path, options);
		} finally { flying[path]--; }
	};
}`

func pollsOnceAtATime(t *testing.T, chromium context.Context, s *sidecar) {
	b := open(t, chromium, s.url+"/debug/", slow, hurried)
	b.until(`document.getElementById('status').textContent.endsWith('is answered 500: It failed.. The page tries again')`)
	b.until(`window.asked > 20`)
	for range 10 {
		b.hide(true)
		b.hide(false)
	}
	asked := eval[int](b, "window.asked")
	b.until(fmt.Sprintf("window.asked > %d", asked+20))
	if n := eval[int](b, "window.together"); n != 1 {
		t.Errorf("%d requests for one path are under way together", n)
	}
	b.isClean(s)
}

// hours lets the page poll without a pause, and sets its clock forward by 2 s with each poll. Each poll shows more reads, and every tenth
// poll shows ten more invocations.
const hours = `{
	const wait = setTimeout, ask = fetch, replies = new Map(), began = Date.now();
	window.polls = window.said = 0;
	window.setTimeout = f => wait(f, 0);
	Date.now = () => began + 2000 * window.polls;
	window.fetch = async (path, options) => {
		if (!replies.has(path)) replies.set(path, await (await ask(path, options)).json());
		const reply = structuredClone(replies.get(path));
		if (path === '/debug/cache') { window.polls++; reply.hits += window.polls * 10; reply.misses += window.polls * 5 + window.polls % 5; }
		const newest = 10 * Math.floor(window.polls / 10);
		if (reply.invocations) reply.invocations = Array.from({ length: 40 }, (_, i) => ({ ...reply.invocations[0], began: new Date(began + 2000 * (newest - i)).toISOString() }));
		return new Response(JSON.stringify(reply));
	};
	addEventListener('load', () => { setTimeout(() => {
		const all = document.querySelectorAll('[aria-live], [role=status], [role=alert], [role=log]');
		all.forEach(e => new MutationObserver(() => { window.said++; }).observe(e, { childList: true, subtree: true, characterData: true }));
	}); });
}`

func keepsItsSize(t *testing.T, chromium context.Context, s *sidecar) {
	b := open(t, chromium, s.url+"/debug/", hours)
	b.until(dataShown)
	b.exec(`document.querySelectorAll('#list details').forEach(d => { d.open = true; })`)
	size := func(polls int) (nodes, listeners int64, heap float64, said int) {
		for n := 80; n <= polls; n += 80 {
			b.until(fmt.Sprintf("window.polls > %d", n))
		}
		b.hide(true) // so that it makes no garbage meanwhile
		defer b.hide(false)
		call(b, heapprofiler.CollectGarbage, cdp.Empty{})
		dom, js := call(b, memory.GetDOMCounters, cdp.Empty{}), call(b, runtime.GetHeapUsage, cdp.Empty{})
		return dom.Nodes, dom.JsEventListeners, js.UsedSize, eval[int](b, "window.said")
	}
	nodes, listeners, heap, said := size(320) // the curve is full after 300
	nodes2, listeners2, heap2, said2 := size(640)
	t.Logf("after 320 polls %d nodes, %d listeners, %.0f bytes; after 640 polls %d, %d, %.0f", nodes, listeners, heap, nodes2, listeners2, heap2)
	if nodes2 > nodes+100 || listeners2 > listeners+50 || heap2 > heap+5e5 {
		t.Error("the page grows")
	}
	if said != said2 {
		t.Errorf("a screen reader was told something %d times by polls that showed nothing new", said2-said)
	}
	if n := eval[int](b, "document.querySelectorAll('#list details').length"); n != 35 {
		t.Errorf("%d invocations are shown, not the newest 30 and 5 open ones", n)
	}
	b.isClean(s)
}
