package sidecar

import (
	"net/http"
	"slices"
	"strings"

	"hearth/client/wire"
)

// route is one call of the API.
type route struct {
	method string
	path   string
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
		{http.MethodDelete, wire.PathCache, (*Server).dropCache, []string{"chat", "model"}},
		{http.MethodGet, wire.PathHealth, (*Server).health, nil},
		{http.MethodGet, wire.PathReady, (*Server).ready, nil},
		{http.MethodGet, wire.PathDebugCache, (*Server).debugCache, nil},
		{http.MethodGet, wire.PathDebugPools, (*Server).debugPools, nil},
	}
}

// match finds the call for a raw path: split on raw slashes, so that an encoded one stays within its segment.
// It returns the chat's segment, still encoded, and the methods that the path allows.
func match(table []route, method, path string) (found *route, chat string, allowed []string) {
	got := strings.Split(path, "/")
	for _, r := range table {
		want := strings.Split(r.path, "/")
		if len(want) != len(got) {
			continue
		}
		segment, ok := "", true
		for i := range want {
			if want[i] == "{chat_id}" {
				segment = got[i]
			} else if want[i] != got[i] {
				ok = false
				break
			}
		}
		if !ok {
			continue
		}
		allowed = append(allowed, r.method)
		if r.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
		if found == nil && slices.Contains(allowed, method) {
			found, chat = &r, segment
		}
	}
	return found, chat, allowed
}
