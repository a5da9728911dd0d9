package sidecar

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net/http"

	"hearth/client/wire"
)

// page is a page without data: it asks the API for all that it shows.
//
//go:embed page.html
var page []byte

const pathNearPage = "/debug" // leads to the page

// needsNoToken says which paths are answered without the token. None of their replies tells anything of the cache, the chats or the upstreams.
func needsNoToken(path []byte) bool {
	switch string(path) {
	case wire.PathHealth, wire.PathPage, pathNearPage:
		return true
	}
	return false
}

func (s *Server) page(r *request) error {
	body := page
	if s.cfg.Token != "" { // the page asks for it at once
		body = bytes.Replace(page, []byte(`data-token="none"`), []byte(`data-token="needed"`), 1)
	}
	h := &r.Response.Header
	h.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; img-src data:; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		hashOf(page, "script"), hashOf(page, "style")))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	r.SetStatusCode(http.StatusOK)
	r.SetContentType("text/html; charset=utf-8")
	r.Response.SetBodyRaw(body)
	return nil
}

func (s *Server) toPage(r *request) error {
	r.Response.Header.Set("Location", wire.PathPage)
	r.SetStatusCode(http.StatusPermanentRedirect)
	return nil
}

// hashOf is the hash, as a Content-Security-Policy names it, of the text of the page's only element with that tag.
func hashOf(page []byte, tag string) string {
	_, after, _ := bytes.Cut(page, []byte("\n<"+tag))
	_, after, _ = bytes.Cut(after, []byte(">"))
	text, _, _ := bytes.Cut(after, []byte("</"+tag+">"))
	sum := sha256.Sum256(text)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
