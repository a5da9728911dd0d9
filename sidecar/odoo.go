package sidecar

import (
	"net/http"

	"hearth/cache"
	"hearth/sidecar/chat"
)

func (s *Server) odooModels(r *request) error {
	names, err := r.modelNames()
	if err != nil {
		return err
	}
	if got, held := s.cfg.Chat.HeldModels(r.now, names, r.directives); held {
		return s.sendModels(r, got)
	}
	got, err := s.cfg.Chat.Models(r.readContext(), names, r.directives)
	if err != nil {
		r.heldError(got.Origin)
		return err
	}
	return s.sendModels(r, got)
}

func (s *Server) sendModels(r *request, got chat.Models) error {
	body := chat.AppendModels([]byte(`{"models":`), got.List)
	if len(got.Failed) > 0 {
		failed, err := chat.Encode(s.problemsOf(got.Failed))
		if err != nil {
			return err
		}
		body = append(append(body, `,"errors":`...), failed...)
	}
	body = append(body, '}')
	return r.sendCached("odoo", cache.Reply{Body: body, ETag: cache.ETag(body), Origin: got.Origin})
}

func (s *Server) odooCall(r *request) error {
	call, err := s.decodeCall(r.object())
	if err != nil {
		return err
	}
	if s.cfg.Chat.IsRead(call.Method) {
		if got, held := s.cfg.Chat.HeldRead(r.now, call, r.directives); held {
			return r.sendCached("odoo", got)
		}
		got, err := s.cfg.Chat.Read(r.readContext(), call, r.directives)
		if err != nil {
			r.heldError(got.Origin)
			return err
		}
		return r.sendCached("odoo", got)
	}
	body, err := s.cfg.Chat.Write(r.writeContext(), call)
	if err != nil {
		return err
	}
	r.timed("odoo")
	r.sendBody(http.StatusOK, body)
	return nil
}
