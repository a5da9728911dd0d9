package sidecar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/pool"
	"hearth/pool/web"
	"hearth/sidecar/fetch"
)

// maxWait is how long GET job waits at most.
const maxWait = 30 * time.Second

// callerOfJobs is the pool.Options.Caller of all jobs. One caller never takes all slots of a host, so jobs leave one to other requests.
const callerOfJobs = math.MaxUint64

// fetch sends a request to another host, or starts a job that does.
func (s *Server) fetch(r *request) error {
	if s.cfg.Fetch == nil {
		return wire.NewProblem(wire.KindNotConfigured, s.cfg.NoFetch)
	}
	q, err := s.decodeFetch(r.object())
	if err != nil {
		return err
	}
	if q.async {
		directives := r.directives
		directives.Tally = nil // the job outlives the request
		ctx := pool.With(context.Background(), pool.Options{Header: traceHeaders(r), Caller: callerOfJobs})
		id, err := s.cfg.Jobs.Start(ctx, cmp.Or(q.timeout, s.cfg.Timeout),
			func(ctx context.Context) (cache.Reply, error) { return s.ask(ctx, q.Request, directives) })
		if err != nil {
			return err
		}
		return r.sendJSON(http.StatusAccepted, wire.Job{Job: id})
	}
	if got, held := s.cfg.Fetch.Held(r.now, q.Request, r.directives); held {
		return r.sendCached("fetch", got)
	}
	r.timeout = q.timeout
	wait := r.writeContext
	if web.IsSafe(q.Method) {
		wait = r.readContext
	}
	got, err := s.ask(wait(), q.Request, r.directives)
	if err != nil {
		return err
	}
	return r.sendCached("fetch", got)
}

// ask is fetch.Service.Do; its error names the host.
func (s *Server) ask(ctx context.Context, req web.Request, d cache.Directives) (cache.Reply, error) {
	got, err := s.cfg.Fetch.Do(ctx, req, d)
	if e, ok := errors.AsType[*pool.TooLargeError](err); ok {
		return got, problemAt(req.Target.Origin.HostPort(), wire.KindAnswerTooLarge,
			fmt.Sprintf("the answer has more than %d bytes, of which one may have no more", e.Most))
	}
	if _, named := errors.AsType[*pool.Error](err); err != nil && !named && !errors.Is(err, cache.ErrNotCached) {
		err = &pool.Error{Upstream: req.Target.Origin.HostPort(), Err: err}
	}
	return got, err
}

// job sends the result of a job. The result is gone once it has left whole.
func (s *Server) job(r *request) error {
	patience, err := r.queryNumber("wait_ms", 0, 0, int(maxWait.Milliseconds()))
	if err != nil {
		return err
	}
	if s.cfg.Fetch == nil {
		return fetch.ErrNoSuchJob
	}
	path := string(parseTarget(r.Request.Header.RequestURI()).path)
	id := path[strings.LastIndexByte(path, '/')+1:]
	got, read, err := s.cfg.Jobs.Wait(r.readContext(), id, time.Duration(patience)*time.Millisecond)
	if read != nil {
		r.whenLeft(read)
	}
	if errors.Is(err, fetch.ErrPending) {
		return r.sendJSON(http.StatusAccepted, wire.Job{Job: id})
	}
	if err != nil {
		return err
	}
	r.setCacheStatus(got.Origin)
	r.timed("fetch")
	r.sendBody(http.StatusOK, got.Body)
	return nil
}

// fetchCall is a decoded POST fetch.
type fetchCall struct {
	web.Request

	timeout time.Duration // 0: the body does not say
	async   bool
}

func (s *Server) decodeFetch(o *object) (q fetchCall, err error) {
	address := o.requiredText("url")
	q.Method = o.oneOf("method", http.MethodGet, web.Methods()...)
	fields := o.texts("headers")
	text := o.text("body", "", 0, s.cfg.MaxBody)
	o.field("body_base64", &q.Body, "base64")
	q.timeout = o.timeout()
	q.async = o.flag("async")
	switch {
	case text != "" && q.Body != nil:
		o.wrong("body_base64", "does not go with body")
	case text != "":
		q.Body = []byte(text)
	}
	if len(q.Body) > 0 && (q.Method == http.MethodGet || q.Method == http.MethodHead) {
		o.wrong("body", "does not go with "+q.Method)
	}
	o.rejectUnknown()
	if q.Header, err = web.Header(fields); err != nil {
		o.wrong("headers", err.Error())
	}
	if err := o.err(); err != nil {
		return q, err
	}
	q.Target, err = s.cfg.Fetch.Allow().Check(address)
	return q, err
}

// fetchProblem is the problem of an error that only fetch and job have; nil: the error is another one.
func fetchProblem(err error) *wire.Problem {
	host := ""
	if e, ok := errors.AsType[*pool.Error](err); ok {
		host = e.Upstream
	}
	if e, ok := errors.AsType[*web.NotURLError](err); ok {
		return wire.BadField("url", e.Detail)
	}
	if e, ok := errors.AsType[*web.NotAllowedError](err); ok {
		p := problemAt(host, wire.KindNotAllowed, e.Error())
		p.Field = "url"
		return p
	}
	if e, ok := errors.AsType[*fetch.TooManyRedirectsError](err); ok {
		return problemAt(host, wire.KindRedirected, e.Error())
	}
	switch {
	case errors.Is(err, fetch.ErrNoSuchJob):
		return wire.NewProblem(wire.KindNoSuchJob, "there is no such job, or its result was read already")
	case errors.Is(err, fetch.ErrExpired):
		return wire.NewProblem(wire.KindExpired, "the job's result was not read in time")
	case errors.Is(err, fetch.ErrTooManyJobs):
		return wire.NewProblem(wire.KindOverloaded, "too many jobs are under way")
	}
	return nil
}

// unknownOutcome is the problem of a write that may or may not have been carried out.
func unknownOutcome(err error) *wire.Problem {
	upstream := "weaviate"
	if e, ok := errors.AsType[*pool.Error](err); ok {
		upstream = e.Upstream
	}
	name, known := map[string]string{"weaviate": "Weaviate may or may not have it", "odoo": "Odoo may or may not have done it"}[upstream]
	if !known {
		name = fmt.Sprintf("%s may or may not have done it", strings.ToValidUTF8(upstream, "?"))
	}
	return problemAt(upstream, wire.KindUnknownOutcome, "unknown outcome: "+name)
}
