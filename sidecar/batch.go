package sidecar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/client/wire"
	"hearth/internal/executor"
	"hearth/sidecar/chat"
)

// batch runs its calls side by side, and sends the answers in the order of the calls. Each call is decoded and handled as if it had come
// alone (serveCall).
func (s *Server) batch(r *request) error {
	b, err := s.decodeBatch(r)
	if err != nil {
		return err
	}
	room := batchRoom{most: int64(s.cfg.MaxBatchReply)}
	r.timeout = b.timeout
	most := r.writeTime()
	most -= min(executor.Grace, most/10) // executor.Run may return that much later
	ctx := r.waitContext(most)
	how := batchTerms{
		socket: r.socket, readBy: r.started.Add(min(r.readTime(), most)), writeBy: r.started.Add(most), left: r.untilCallerLeaves(context.WithoutCancel(ctx)),
		trace: bytes.Clone(r.headers.trace),
	}
	tasks := make([]executor.Task[batchAnswer], len(b.calls))
	for i, c := range b.calls {
		tasks[i] = executor.Task[batchAnswer]{Timeout: c.timeout, Do: func(ctx context.Context) (batchAnswer, error) {
			answer := s.serveCall(ctx, c, how)
			err := room.take(answer)
			if answer.onLeft != nil && (err != nil || ctx.Err() != nil) { // the batch may have no place for it, or not wait for it
				answer.onLeft(false)
			}
			return answer, err
		}}
	}
	options := executor.Options{Workers: b.parallel, Pulse: s.cfg.Pulse}
	if !b.own {
		options.Waits = s.cfg.Waits
	}
	results := executor.Run(ctx, options, tasks)
	body := []byte(`{"responses":[`)
	for i, got := range results {
		if got.Err != nil {
			got.Value = refusedCall(s.callProblem(b.calls[i], got.Err))
		}
		if i > 0 {
			body = append(body, ',')
		}
		body = got.Value.append(body, b.calls[i].id)
		if got.Value.onLeft != nil {
			r.whenLeft(got.Value.onLeft)
		}
		r.afterwards = append(r.afterwards, got.Value.afterwards...)
	}
	r.setServerTiming(r.took())
	r.sendBody(http.StatusOK, append(body, "]}"...))
	return nil
}

// batchTerms are what the calls of a batch have in common.
type batchTerms struct {
	socket          bool            // the batch came over the Unix socket
	readBy, writeBy time.Time       // when reads and writes must have ended
	left            context.Context //nolint:containedctx // ends when the caller of the batch leaves
	trace           []byte          // of the calls that have none of their own
}

// serveCall runs one call of a batch. The call and its answer share no memory with the batch's request, because an abandoned call outlives
// the batch. The call begins at accept, because the batch has passed the checks before that (door.go).
func (s *Server) serveCall(ctx context.Context, c batchCall, how batchTerms) batchAnswer {
	f := &fasthttp.RequestCtx{}
	f.Init2(nil, logger{s.cfg.Logger}, false)
	f.Request.Header.SetMethod(c.method)
	f.Request.SetRequestURI(c.path)
	for _, h := range c.headers {
		f.Request.Header.Add(h.name, h.value)
	}
	onLeft, afterwards := s.handleCall(ctx, f, c, how)
	answer := answerOf(f)
	answer.onLeft, answer.afterwards = onLeft, afterwards
	return answer
}

func (s *Server) handleCall(ctx context.Context, f *fasthttp.RequestCtx, c batchCall, how batchTerms) (onLeft func(whole bool), afterwards []func()) {
	r := s.newRequest(ctx, f, how.socket)
	r.read()
	defer s.end(ctx, r)
	if r.headers = readHeaders(&f.Request.Header); r.headers.trace == nil {
		r.headers.trace = how.trace
	}
	r.body.WriteString(c.body)
	r.timeout, r.batchLeft = c.timeout, how.left
	r.batchRead, r.batchWrite = within(how.readBy.Sub(r.started), c.timeout), within(how.writeBy.Sub(r.started), c.timeout)
	s.answer(r, s.accept(r, parseTarget([]byte(c.path))))
	return r.onLeft, r.afterwards
}

// within is the smaller of the time that a batch has left and a call's own timeout, if that is not 0. The result is at least 1, because 0
// would mean that the call is in no batch.
func within(left, timeout time.Duration) time.Duration {
	if timeout > 0 {
		left = min(left, timeout)
	}
	return max(left, 1)
}

// batchRoom bounds the bytes of the answers of one batch.
type batchRoom struct {
	most int64
	used atomic.Int64
}

// take returns an error if the answer does not fit. Small answers always fit, so that a write does not lose its answer to large reads.
func (b *batchRoom) take(a batchAnswer) error {
	size := int64(len(a.body))
	if size <= maxKeptBody {
		return nil
	}
	if b.used.Add(size) > b.most {
		b.used.Add(-size)
		return wire.NewProblem(wire.KindAnswerTooLarge, fmt.Sprintf(
			"the call was answered with status %d and %d bytes, but the answers of one batch may have %d bytes together", a.status, size, b.most))
	}
	return nil
}

// callProblem is the problem of a call that has brought no answer. An abandoned POST is not retryable, because it may have been carried
// out.
func (s *Server) callProblem(c batchCall, err error) *wire.Problem {
	p := *s.problemOf(err)
	switch {
	case errors.Is(err, executor.ErrNotStarted):
		p.Detail = "the batch's time was over before the call was started"
	case errors.Is(err, executor.ErrAbandoned):
		p.Detail = "the call did not end in time"
		p.Retryable = p.Retryable && c.method != http.MethodPost
	}
	return &p
}

// batchAnswer is the answer to one call of a batch.
type batchAnswer struct {
	status  int
	headers [][2]string
	body    []byte           // JSON; empty: none
	onLeft  func(whole bool) // to be called once the answer has left, or cannot leave; nil: nothing is

	afterwards []func() // to be called once the batch is counted
}

// answerOf is the answer of a call, without the headers of the connection.
func answerOf(f *fasthttp.RequestCtx) batchAnswer {
	a := batchAnswer{status: f.Response.StatusCode()}
	if !f.IsHead() {
		a.body = f.Response.Body()
	}
	for name, value := range f.Response.Header.All() {
		switch string(name) {
		case "Connection", "Content-Length", "Server":
		case "Content-Type":
			if len(f.Response.Body()) > 0 {
				a.headers = append(a.headers, [2]string{string(name), string(value)})
			}
		default:
			a.headers = append(a.headers, [2]string{string(name), string(value)})
		}
	}
	return a
}

// refusedCall is a problem as the answer of a call.
func refusedCall(p *wire.Problem) batchAnswer {
	body, err := chat.Encode(p)
	if err != nil { // a Problem always encodes
		panic(err)
	}
	return batchAnswer{status: p.Status, headers: [][2]string{{"Content-Type", "application/problem+json"}}, body: body}
}

// append appends the answer as a wire.BatchResponse.
func (a batchAnswer) append(b []byte, id string) []byte {
	b = chat.AppendString(append(b, `{"id":`...), id)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(a.status), 10)
	b = append(b, `,"headers":{`...)
	for i, h := range a.headers {
		if i > 0 {
			b = append(b, ',')
		}
		b = chat.AppendString(append(chat.AppendString(b, h[0]), ':'), h[1])
	}
	b = append(b, `},"body":`...)
	if len(a.body) == 0 {
		return append(b, "null}"...)
	}
	return append(append(b, a.body...), '}')
}
