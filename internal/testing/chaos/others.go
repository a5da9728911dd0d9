package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/lab/bot"
)

// entries returns the calls that a batch makes.
func entries() []call {
	return []call{{"history", history}, {"mute", mute}, {"messages", messages}, {"odoo read", odooRead}, {"odoo write", odooWrite}, {"fetch", fetch}}
}

func batch(t *truth, chat string) attempt {
	var body wire.Batch
	var inside []attempt
	for _, call := range entries() {
		a := call.make(t, chat)
		inside = append(inside, a)
		body.Requests = append(body.Requests, wire.BatchRequest{ID: call.name, Method: a.method, Path: a.path, Body: a.body})
	}
	return attempt{method: http.MethodPost, path: wire.PathBatch, body: body, judge: func(r *reply) verdict {
		var got wire.BatchReply
		if err := json.Unmarshal(r.body, &got); err != nil || len(got.Responses) != len(inside) {
			return wrong("%d responses for %d requests: %v", len(got.Responses), len(inside), err)
		}
		gravest := verdict{what: right}
		for i, response := range got.Responses {
			v := r.entry(entries()[i].name, inside[i], response).judge(r.also)
			if response.ID != entries()[i].name {
				v = wrong("response %d is of %s", i, response.ID)
			}
			if v.what > gravest.what {
				gravest = v
			}
		}
		return gravest
	}}
}

// entry makes a reply of one response of a batch. No request of the batch says no-cache.
func (r *reply) entry(name string, a attempt, response wire.BatchResponse) *reply {
	header := http.Header{}
	for name, value := range response.Headers {
		header.Set(name, value)
	}
	return &reply{call: name, attempt: a, asked: r.asked, ended: r.ended, status: response.Status, header: header, body: response.Body, opaque: r.opaque}
}

// web is the host to fetch from. It has a page that changes. Answers are fresh for a second, and may be served for a minute more if the
// host fails.
type web struct {
	url string

	mu    sync.Mutex
	since []time.Time // guarded by mu: when each version of the page was published
}

const webFresh, webStale = time.Second, time.Minute

// publish makes a new version of the page.
func (w *web) publish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = append(w.since, time.Now())
}

func (w *web) ServeHTTP(rw http.ResponseWriter, _ *http.Request) {
	w.mu.Lock()
	version := len(w.since)
	w.mu.Unlock()
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Cache-Control", fmt.Sprintf("max-age=%.0f, stale-if-error=%.0f", webFresh.Seconds(), webStale.Seconds()))
	fmt.Fprintf(rw, `{"version":%d}`, version)
}

// judge returns an error unless the body is the newest version of the page, or was that no longer than fresh before asked.
func (w *web) judge(body string, asked time.Time, fresh time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var page struct{ Version int }
	if err := json.Unmarshal([]byte(body), &page); err != nil || page.Version < 1 || page.Version > len(w.since) {
		return fmt.Errorf("%w: the page is %q", bot.ErrWrong, body)
	}
	if page.Version < len(w.since) && w.since[page.Version].Before(asked.Add(-fresh)) {
		return fmt.Errorf("%w: version %d of the page, and %d is %v old", bot.ErrStale, page.Version, page.Version+1, asked.Sub(w.since[page.Version]))
	}
	return nil
}

func fetch(t *truth, _ string) attempt {
	return attempt{
		method: http.MethodPost, path: wire.PathFetch, body: wire.FetchRequest{URL: t.web.url},
		judge: func(r *reply) verdict { return judgeFetched(r, t.web) },
	}
}

func judgeFetched(r *reply, w *web) verdict {
	var got wire.Fetched
	if err := json.Unmarshal(r.body, &got); err != nil {
		return wrong("the reply cannot be decoded: %v", err)
	}
	if got.Status != http.StatusOK { // the host's own failure is passed on
		return verdict{what: failed, kind: wire.Kind(fmt.Sprintf("fetched-%d", got.Status))}
	}
	if r.opaque {
		return verdict{what: right}
	}
	err, fresh := w.judge(got.Body, r.asked, 0), webFresh // with no-cache the newest
	switch {
	case err == nil:
		return verdict{what: right}
	case r.noCache:
		return wrong("%v", err)
	case r.stale():
		fresh += webStale
	}
	if err = w.judge(got.Body, r.asked, fresh); err != nil {
		return wrong("%v", err)
	}
	if r.stale() {
		return verdict{what: isStale}
	}
	return verdict{what: right}
}

const pending wire.Kind = "pending" // a job that has no result yet

// job fetches in the background, and asks for the result.
func job(t *truth, _ string) attempt {
	return attempt{
		method: http.MethodPost, path: wire.PathFetch, body: wire.FetchRequest{URL: t.web.url, Async: true},
		judge: func(r *reply) verdict {
			var j wire.Job
			if err := json.Unmarshal(r.body, &j); err != nil || j.Job == "" || r.status != http.StatusAccepted {
				return wrong("the reply is not a job: %v", err)
			}
			return verdict{what: right}
		},
		then: func(r *reply) attempt {
			var j wire.Job
			_ = json.Unmarshal(r.body, &j) // it was judged
			return attempt{
				method: http.MethodGet, path: strings.ReplaceAll(wire.PathJob, "{job}", j.Job) + fmt.Sprintf("?wait_ms=%d", (t.deadline-300*time.Millisecond).Milliseconds()),
				judge: func(r *reply) verdict {
					if r.status == http.StatusAccepted { // not yet
						return verdict{what: failed, kind: pending}
					}
					return judgeFetched(r, t.web)
				},
			}
		},
	}
}
