package sidecar

import (
	"bytes"
	"net/http"
	"strings"

	"hearth/client/wire"
)

// route is one call of the API.
type route struct {
	method string
	path   string // {chat_id} and {job} stand for one segment
	handle func(*Server, *request) error
	query  []string // the parameters that it takes
}

// routes are all calls of the API.
func routes() []route {
	return []route{
		{http.MethodGet, wire.PathHistory, (*Server).history, []string{"num_messages", "full_text_len"}},
		{http.MethodPost, wire.PathRelevant, (*Server).relevant, nil},
		{http.MethodGet, wire.PathMute, (*Server).mute, nil},
		{http.MethodPut, wire.PathMute, (*Server).setMute, nil},
		{http.MethodPost, wire.PathMessages, (*Server).appendMessages, nil},
		{http.MethodPost, wire.PathPreprocess, (*Server).preprocess, nil},
		{http.MethodGet, wire.PathOdooModels, (*Server).odooModels, []string{"names"}},
		{http.MethodPost, wire.PathOdooCall, (*Server).odooCall, nil},
		{http.MethodPost, wire.PathBatch, (*Server).batch, nil},
		{http.MethodPost, wire.PathFetch, (*Server).fetch, nil},
		{http.MethodGet, wire.PathJob, (*Server).job, []string{"wait_ms"}},
		{http.MethodDelete, wire.PathCache, (*Server).dropCache, []string{"chat", "model"}},
		{http.MethodGet, wire.PathHealth, (*Server).health, nil},
		{http.MethodGet, wire.PathReady, (*Server).ready, nil},
		{http.MethodGet, wire.PathDebugCache, (*Server).debugCache, nil},
		{http.MethodGet, wire.PathDebugPools, (*Server).debugPools, nil},
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
