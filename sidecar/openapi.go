package sidecar

import (
	_ "embed"
	"net/http"
)

// document is docs/openapi.yaml in JSON. "make openapi" writes it again.
//
//go:embed openapi.json
var document []byte

func (s *Server) openAPI(r *request) error {
	r.sendBody(http.StatusOK, document)
	return nil
}
