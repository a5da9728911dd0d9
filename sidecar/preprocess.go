package sidecar

import (
	"net/http"
	"slices"
	"time"

	"hearth/client/wire"
	"hearth/sidecar/chat"
)

// preprocess answers everything that a handler needs before it can think.
func (s *Server) preprocess(r *request) error {
	q, timeout, err := s.decodePreprocess(r.body.Bytes())
	if err != nil {
		return err
	}
	got, held := s.cfg.Chat.HeldParts(q, r.directives)
	if !held {
		if err := s.cfg.Chat.FetchParts(r.context(timeout), q, r.directives, &got); err != nil {
			return err
		}
	}
	return s.replyParts(r, got)
}

// replyParts joins the parts that came with the reasons of those that did not.
func (s *Server) replyParts(r *request, got chat.Answer) error {
	problems := map[string]*wire.Problem{}
	timings := make([]timing, 0, 4)
	for _, p := range got.Parts {
		timings = append(timings, timing{p.Name, p.Took})
		if p.Err != nil {
			problems[p.Name] = s.problemOf(p.Err)
		}
		for piece, err := range p.Failed {
			problems[p.Name+"."+piece] = s.problemOf(err)
		}
	}
	r.setServerTiming(time.Since(r.started), timings...)
	if !slices.ContainsFunc(got.Parts, chat.Part.Came) {
		return preprocessProblem(problems)
	}
	return r.sendAnswer(got, problems)
}

// sendAnswer sends a wire.Preprocess. Its parts are in JSON already.
func (r *request) sendAnswer(got chat.Answer, problems map[string]*wire.Problem) error {
	size := 512 + len(got.Chat)
	for _, p := range got.Parts {
		size += len(p.Body)
	}
	b := r.bodyMemory(size)
	b = chat.AppendString(append(b, `{"chat_id":`...), got.Chat)
	if len(problems) > 0 {
		encoded, err := chat.Encode(problems)
		if err != nil {
			return err
		}
		b = append(appendName(b, "errors"), encoded...)
	}
	b = append(appendName(b, "cache"), '{')
	for _, p := range got.Parts {
		if p.Came() {
			b = append(append(append(appendName(b, p.Name), '"'), p.Origin.Served...), '"')
		}
	}
	b = append(appendName(append(b, '}'), "timings"), '{')
	for _, p := range got.Parts {
		b = appendMilliseconds(appendName(b, p.Name), p.Took)
	}
	b = append(b, '}')
	odoo := false
	for _, p := range got.Parts {
		odoo = odoo || p.Name == wire.PartOdoo
		if p.Came() {
			b = append(appendName(b, p.Name), p.Body...)
		}
	}
	if !odoo { // it was not asked for
		b = append(appendName(b, wire.PartOdoo), "{}"...)
	}
	r.sendOwnBody(http.StatusOK, append(b, '}'))
	return nil
}

// appendName begins the next member of a JSON object.
func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(append(append(b, '"'), name...), `":`...)
}
