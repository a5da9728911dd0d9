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
	got, held := s.cfg.Chat.HeldModels(r.came, names, r.directives)
	if !held {
		got, err = s.cfg.Chat.Models(r.context(s.cfg.Timeout), names, r.directives)
	}
	if err != nil {
		return err
	}
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
	call, err := s.decodeCall(r.body.Bytes())
	if err != nil {
		return err
	}
	if s.cfg.Chat.IsRead(call.Method) {
		got, held := s.cfg.Chat.HeldRead(r.came, call, r.directives)
		if !held {
			got, err = s.cfg.Chat.Read(r.context(s.cfg.Timeout), call, r.directives)
		}
		if err != nil {
			return err
		}
		return r.sendCached("odoo", got)
	}
	body, err := s.cfg.Chat.Write(r.context(s.cfg.Timeout), call)
	if err != nil {
		return err
	}
	r.timed("odoo")
	r.sendBody(http.StatusOK, body)
	return nil
}
