package sidecar

import (
	"net/http"
	"time"

	"hearth/client/wire"
	"hearth/sidecar/chat"
)

// preprocess answers everything that a handler needs before it can think.
func (s *Server) preprocess(r *request) error {
	q, timeout, err := s.decodePreprocess(r.object())
	if err != nil {
		return err
	}
	r.timeout = timeout
	got, held := s.cfg.Chat.HeldParts(r.now, q, r.directives, r.partsMemory)
	r.partsMemory = got.Parts
	if !held {
		if err := s.cfg.Chat.FetchParts(r.readContext(), q, r.directives, &got); err != nil {
			return err
		}
	}
	return s.replyParts(r, got)
}

// replyParts collects the parts that are done, and the reasons of those that failed.
func (s *Server) replyParts(r *request, got chat.Answer) error {
	var problems map[string]*wire.Problem
	var wait time.Duration // until every part may be asked for again
	failed := func(name string, err error) {
		if problems == nil {
			problems = map[string]*wire.Problem{}
		}
		problems[name] = s.problemOf(err)
		wait = max(wait, retryAfter(err))
	}
	anyDone := false
	timings := make([]timing, 0, 4)
	for i := range got.Parts {
		p := &got.Parts[i]
		if p.Done {
			anyDone = true
			r.verdicts.Set(p.Name, string(p.Origin.Served))
		}
		timings = append(timings, timing{p.Name, p.Took})
		if p.Err != nil {
			failed(p.Name, p.Err)
		}
		for piece, err := range p.Failed {
			failed(p.Name+"."+piece, err)
		}
	}
	r.setServerTiming(r.took(), timings...)
	if !anyDone {
		r.setRetryAfter(wait)
		return preprocessProblem(problems)
	}
	return r.sendAnswer(got, problems)
}

// sendAnswer joins the bytes of the parts to a wire.Preprocess.
func (r *request) sendAnswer(got chat.Answer, problems map[string]*wire.Problem) error {
	size := 512 + len(got.Chat)
	odoo := false
	for i := range got.Parts {
		size += got.Parts[i].Size()
		odoo = odoo || got.Parts[i].Name == wire.PartOdoo
	}
	b := r.bodyBuffer(size)
	b = chat.AppendString(append(b, `{"chat_id":`...), got.Chat)
	if len(problems) > 0 {
		encoded, err := chat.Encode(problems)
		if err != nil {
			return err
		}
		b = append(appendName(b, "errors"), encoded...)
	}
	b = append(appendName(b, "cache"), '{')
	for i := range got.Parts {
		if p := &got.Parts[i]; p.Done {
			b = append(append(append(appendName(b, p.Name), '"'), p.Origin.Served...), '"')
		}
	}
	b = append(appendName(append(b, '}'), "timings"), '{')
	for i := range got.Parts {
		b = appendMilliseconds(appendName(b, got.Parts[i].Name), got.Parts[i].Took)
	}
	b = append(b, '}')
	for i := range got.Parts {
		if p := &got.Parts[i]; p.Done {
			b = p.Append(appendName(b, p.Name))
		}
	}
	if !odoo { // it was not asked for
		b = append(appendName(b, wire.PartOdoo), "{}"...)
	}
	r.sendBuffer(http.StatusOK, append(b, '}'))
	return nil
}

// appendName begins the next member of a JSON object.
func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(append(append(b, '"'), name...), `":`...)
}
