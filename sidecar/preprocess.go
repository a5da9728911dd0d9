package sidecar

import (
	"net/http"
	"slices"

	"hearth/client/wire"
	"hearth/sidecar/chat"
)

// preprocess answers everything that a handler needs before it can think.
func (s *Server) preprocess(r *request) error {
	q, timeout, err := s.decodePreprocess(r.body)
	if err != nil {
		return err
	}
	ctx, cancel := s.cfg.Pulse.WithTimeout(r.serverCtx, timeout)
	defer cancel()
	name, parts, err := s.cfg.Chat.Preprocess(ctx, q, r.directives)
	if err != nil {
		return err
	}
	return s.replyParts(r, name, parts)
}

// replyParts joins the parts that came with the reasons of those that did not.
func (s *Server) replyParts(r *request, chatID string, parts []chat.Part) error {
	reply := wire.Preprocess{ChatID: chatID, Errors: map[string]*wire.Problem{}, Cache: map[string]string{}, Timings: map[string]float64{}}
	var header []timing
	var came []member
	for _, p := range parts {
		reply.Timings[p.Name] = milliseconds(p.Took)
		header = append(header, timing{p.Name, p.Took})
		if p.Err != nil {
			reply.Errors[p.Name] = s.problemOf(p.Err)
			continue
		}
		came = append(came, member{p.Name, p.Body})
		reply.Cache[p.Name] = string(p.Origin.Served)
		for piece, problem := range s.problemsOf(p.Failed) {
			reply.Errors[p.Name+"."+piece] = problem
		}
	}
	r.setServerTiming(header...)
	if len(came) == 0 {
		return preprocessProblem(reply.Errors)
	}
	if !slices.ContainsFunc(parts, func(p chat.Part) bool { return p.Name == wire.PartOdoo }) {
		came = append(came, member{wire.PartOdoo, []byte("{}")}) // it was not asked for
	}
	rest, err := chat.Encode(reply)
	if err != nil {
		return err
	}
	r.sendBody(http.StatusOK, withMembers(rest, came...))
	return nil
}
