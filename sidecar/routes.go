package sidecar

import (
	"net/http"
	"slices"
	"strings"

	"hearth/client"
)

// route is one call of the API.
type route struct {
	method string
	path   string
	handle func(*Server, *request) error
}

// routes are all calls of the API.
func routes() []route {
	return []route{
		{http.MethodGet, client.PathHistory, (*Server).history},
		{http.MethodPost, client.PathRelevant, (*Server).relevant},
		{http.MethodGet, client.PathMute, (*Server).mute},
		{http.MethodPut, client.PathMute, (*Server).setMute},
		{http.MethodPost, client.PathMessages, (*Server).appendMessages},
		{http.MethodPost, client.PathPreprocess, (*Server).preprocess},
		{http.MethodGet, client.PathOdooModels, (*Server).odooModels},
		{http.MethodPost, client.PathOdooCall, (*Server).odooCall},
		{http.MethodDelete, client.PathCache, (*Server).dropCache},
		{http.MethodGet, client.PathHealth, (*Server).health},
		{http.MethodGet, client.PathReady, (*Server).ready},
		{http.MethodGet, client.PathDebugCache, (*Server).debugCache},
		{http.MethodGet, client.PathDebugPools, (*Server).debugPools},
	}
}

// match finds the call for a raw path: split on raw slashes, so that an encoded one stays within its segment.
// It returns the chat's segment, still encoded, and the methods that the path allows.
func match(table []route, method, path string) (handle func(*Server, *request) error, chat string, allowed []string) {
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
		if handle == nil && slices.Contains(allowed, method) {
			handle, chat = r.handle, segment
		}
	}
	return handle, chat, allowed
}
