package sidecar

import (
	"net/http"
	"slices"
	"strings"

	"hearth/client/wire"
)

// route is one call of the API.
type route struct {
	method   string
	path     string // {chat_id} stands for one segment
	chat     bool   // the path has a chat's id
	handle   func(*Server, *request) error
	query    []string // the parameters that it takes
	segments []string // of the path
}

// routes are all calls of the API.
func routes() []route {
	const chat, plain = true, false
	table := []route{
		{http.MethodGet, wire.PathHistory, chat, (*Server).history, []string{"num_messages", "full_text_len"}, nil},
		{http.MethodPost, wire.PathRelevant, chat, (*Server).relevant, nil, nil},
		{http.MethodGet, wire.PathMute, chat, (*Server).mute, nil, nil},
		{http.MethodPut, wire.PathMute, chat, (*Server).setMute, nil, nil},
		{http.MethodPost, wire.PathMessages, chat, (*Server).appendMessages, nil, nil},
		{http.MethodPost, wire.PathPreprocess, plain, (*Server).preprocess, nil, nil},
		{http.MethodGet, wire.PathOdooModels, plain, (*Server).odooModels, []string{"names"}, nil},
		{http.MethodPost, wire.PathOdooCall, plain, (*Server).odooCall, nil, nil},
		{http.MethodDelete, wire.PathCache, plain, (*Server).dropCache, []string{"chat", "model"}, nil},
		{http.MethodGet, wire.PathHealth, plain, (*Server).health, nil, nil},
		{http.MethodGet, wire.PathReady, plain, (*Server).ready, nil, nil},
		{http.MethodGet, wire.PathDebugCache, plain, (*Server).debugCache, nil, nil},
		{http.MethodGet, wire.PathDebugPools, plain, (*Server).debugPools, nil, nil},
	}
	for i := range table {
		table[i].segments = strings.Split(table[i].path, "/")
	}
	return table
}

// match finds the call for a raw path: split on raw slashes, so that an encoded one stays within its segment.
// It returns the chat's segment, still encoded, and the methods that the path allows.
func match(table []route, method, path string) (found *route, chat string, allowed []string) {
	got := strings.Split(path, "/")
	for i := range table {
		r := &table[i]
		segment, ok := r.matches(got)
		if !ok {
			continue
		}
		allowed = append(allowed, r.method)
		if r.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
		if found == nil && slices.Contains(allowed, method) {
			found, chat = r, segment
		}
	}
	return found, chat, allowed
}

// matches compares a path's segments with the route's, and returns the chat's.
func (r *route) matches(got []string) (chat string, ok bool) {
	if len(got) != len(r.segments) {
		return "", false
	}
	for i, want := range r.segments {
		if want == "{chat_id}" {
			chat = got[i]
		} else if want != got[i] {
			return "", false
		}
	}
	return chat, true
}
