package sidecar

import (
	"bytes"
	"net/http"
	"strings"

	"hearth/client/wire"
	"hearth/internal/monitor"
)

// route is one call of the API.
type route struct {
	method string
	path   string // {chat_id} and {job} stand for one segment
	handle func(*Server, *request) error
	query  []string // the parameters that it takes

	operation string         // its name among the operations of an invocation; empty: it is none
	seen      *monitor.Route // counts it
}

// routes are all calls of the API.
func routes() []route {
	return []route{
		{method: http.MethodGet, path: wire.PathHistory, handle: (*Server).history, query: []string{"num_messages", "full_text_len"}, operation: "hearth.history"},
		{method: http.MethodPost, path: wire.PathRelevant, handle: (*Server).relevant, operation: "hearth.relevant"},
		{method: http.MethodGet, path: wire.PathMute, handle: (*Server).mute, operation: "hearth.mute"},
		{method: http.MethodPut, path: wire.PathMute, handle: (*Server).setMute, operation: "hearth.set_mute"},
		{method: http.MethodPost, path: wire.PathMessages, handle: (*Server).appendMessages, operation: "hearth.append"},
		{method: http.MethodPost, path: wire.PathPreprocess, handle: (*Server).preprocess, operation: "hearth.preprocess"},
		{method: http.MethodGet, path: wire.PathOdooModels, handle: (*Server).odooModels, query: []string{"names"}, operation: "hearth.odoo_models"},
		{method: http.MethodPost, path: wire.PathOdooCall, handle: (*Server).odooCall, operation: "hearth.odoo_call"},
		{method: http.MethodPost, path: wire.PathBatch, handle: (*Server).batch, operation: "hearth.batch"},
		{method: http.MethodPost, path: wire.PathFetch, handle: (*Server).fetch, operation: "hearth.fetch"},
		{method: http.MethodGet, path: wire.PathJob, handle: (*Server).job, query: []string{"wait_ms"}, operation: "hearth.job"},
		{method: http.MethodDelete, path: wire.PathCache, handle: (*Server).dropCache, query: []string{"chat", "model"}, operation: "hearth.drop_cache"},
		{method: http.MethodGet, path: wire.PathHealth, handle: (*Server).health},
		{method: http.MethodGet, path: wire.PathReady, handle: (*Server).ready},
		{method: http.MethodGet, path: wire.PathDebugCache, handle: (*Server).debugCache},
		{method: http.MethodGet, path: wire.PathDebugPools, handle: (*Server).debugPools},
		{method: http.MethodPost, path: wire.PathTimings, handle: (*Server).timings},
		{method: http.MethodGet, path: wire.PathInvocations, handle: (*Server).invocations},
		{method: http.MethodGet, path: wire.PathAdvice, handle: (*Server).advice},
		{method: http.MethodGet, path: wire.PathMetrics, handle: (*Server).metrics},
		{method: http.MethodGet, path: wire.PathPage, handle: (*Server).page},
		{method: http.MethodGet, path: pathNearPage, handle: (*Server).toPage},
		{method: http.MethodGet, path: wire.PathOpenAPI, handle: (*Server).openAPI},
	}
}

// router finds routes by path.
type router struct {
	plain  map[string][]route // by path
	chats  []byte             // what every path with a chat's id has before the id
	ofChat map[string][]route // by what follows the id
	jobs   []byte             // what the path of a job has before its name
	ofJob  []route
}

func newRouter(routes []route) router {
	t := router{plain: map[string][]route{}, ofChat: map[string][]route{}}
	for _, r := range routes {
		if before, after, ok := strings.Cut(r.path, "{chat_id}"); ok {
			t.chats = []byte(before)
			t.ofChat[after] = append(t.ofChat[after], r)
		} else if before, ok := strings.CutSuffix(r.path, "{job}"); ok {
			t.jobs, t.ofJob = []byte(before), append(t.ofJob, r)
		} else {
			t.plain[r.path] = append(t.plain[r.path], r)
		}
	}
	return t
}

// find returns the calls of a raw path, and the path's segment with the chat's id, still encoded; nil: the path has none. A segment
// ends at a raw slash, so that an encoded one stays within its segment.
func (t router) find(path []byte) (calls []route, chat []byte) {
	if calls, ok := t.plain[string(path)]; ok {
		return calls, nil
	}
	if job, ok := bytes.CutPrefix(path, t.jobs); ok && len(job) > 0 && bytes.IndexByte(job, '/') < 0 {
		return t.ofJob, nil
	}
	rest, ok := bytes.CutPrefix(path, t.chats)
	end := bytes.IndexByte(rest, '/')
	if !ok || end < 0 {
		return nil, nil
	}
	if calls = t.ofChat[string(rest[end:])]; calls == nil {
		return nil, nil
	}
	return calls, rest[:end:end]
}

// takes says whether the call takes a request's method.
func (r *route) takes(method []byte) bool {
	return string(method) == r.method || r.takesHead() && string(method) == http.MethodHead
}

// takesHead says whether the call takes HEAD too. A HEAD for a job would read the result and lose it.
func (r *route) takesHead() bool { return r.method == http.MethodGet && r.path != wire.PathJob }

// methods lists what the calls of a path take.
func methods(calls []route) string {
	var all []string
	for _, r := range calls {
		all = append(all, r.method)
		if r.takesHead() {
			all = append(all, http.MethodHead)
		}
	}
	return strings.Join(all, ", ")
}
