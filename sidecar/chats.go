package sidecar

import (
	"errors"
	"net/http"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/sidecar/chat"
)

func (s *Server) history(r *request) error {
	n, err := r.queryNumber("num_messages", defaultMessages, 1, maxMessages)
	if err != nil {
		return err
	}
	full, err := r.queryNumber("full_text_len", defaultFull, 0, maxFull)
	if err != nil {
		return err
	}
	view := cache.View{Messages: n, Full: full}
	if got, held := s.cfg.Chat.HeldHistory(r.now, r.chat, view, r.directives); held {
		return r.sendCached("history", got)
	}
	got, err := s.cfg.Chat.History(r.readContext(), string(r.chat), view, r.directives)
	if err != nil {
		return err
	}
	return r.sendCached("history", got)
}

func (s *Server) relevant(r *request) error {
	q, err := s.decodeQuery(r)
	if err != nil {
		return err
	}
	if got, held := s.cfg.Chat.HeldRelevant(r.now, q, r.directives); held {
		return r.sendCached("relevant", got)
	}
	got, err := s.cfg.Chat.Relevant(r.readContext(), q, r.directives)
	if err != nil {
		return err
	}
	return r.sendCached("relevant", got)
}

func (s *Server) mute(r *request) error {
	if got, held := s.cfg.Chat.HeldMute(r.now, r.chat, r.directives); held {
		return r.sendCached("mute", got)
	}
	got, err := s.cfg.Chat.Mute(r.readContext(), string(r.chat), r.directives)
	if err != nil {
		return err
	}
	return r.sendCached("mute", got)
}

func (s *Server) setMute(r *request) error {
	m, err := decodeMute(r.object())
	if err != nil {
		return err
	}
	now, err := s.cfg.Chat.SetMute(r.writeContext(), string(r.chat), m)
	if err != nil {
		return err
	}
	r.timed("mute")
	return r.sendJSON(http.StatusOK, now)
}

// appendMessages answers 201 once Weaviate has all of the messages.
func (s *Server) appendMessages(r *request) error {
	body := r.body.Bytes()
	messages, err := s.decodeMessages(body)
	if err != nil {
		return err
	}
	key, err := r.idempotencyKey()
	if err != nil {
		return err
	}
	ids, err := s.cfg.Chat.Append(r.writeContext(), string(r.chat), chat.Draft{Messages: messages, Key: key, Body: body})
	if _, partial := errors.AsType[*chat.PartialError](err); err == nil || partial {
		r.timed("messages")
	}
	if err != nil {
		return inMessages(body, err)
	}
	return r.sendJSON(http.StatusCreated, wire.Appended{IDs: ids})
}
