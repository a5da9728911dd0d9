package weaviate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/weaviate/weaviate/entities/models"

	"hearth/internal/guard"
	"hearth/pool"
)

// classLoader loads what the schema says of one class, once. Callers at the same time share one request, which goes on when
// a caller leaves; [Client.Close] waits for it. A probe shares no request: see [pool.Probing].
//
// Its mutex guards the fields below it. A request runs without it, and takes it at the end to keep what it brought.
type classLoader struct {
	client *Client
	name   string // as configured: it may be an alias
	read   func(*models.Class) *classInfo

	mu        sync.Mutex
	known     *classInfo // nil: nothing is known
	missing   *load      // which found that there is no such class; nil: none did
	until     time.Time  // when a class that is missing or not settled is asked for again
	unsettled int        // times in a row that it was not settled
	running   *load      // nil: no request is under way
}

// load is one request for the schema.
type load struct {
	done  chan struct{} // closed once class and err are set
	class *classInfo
	err   error
}

// A class that is not settled is asked for again after a while, which doubles from the least to the most.
const leastUnsettled, mostUnsettled = time.Second, time.Minute

// missingFor is how long Hearth waits before it asks again for a class that does not exist.
const missingFor = 2 * time.Second

// settled says that what is known of a class need not be asked for again. It is false if the schema was hidden, because the user
// may be given the right to read it. It is false too if the class has a fault, because another program's next message may add
// the property that is missing.
func (c *classInfo) settled() bool { return !c.hidden && c.fault == nil }

func newClassLoader(c *Client, name string, read func(*models.Class) *classInfo) *classLoader {
	return &classLoader{client: c, name: name, read: read}
}

// load returns what is known of the class. If nothing is known, it asks the server. A class that cannot be served is no error
// here: its fault says why.
func (l *classLoader) load(ctx context.Context) (*classInfo, error) {
	if pool.Probing(ctx) {
		if known := l.current(); known != nil {
			return known, nil
		}
		own := &load{done: make(chan struct{})}
		l.run(ctx, own)
		return own.class, own.err
	}
	known, running := l.knownOrRunning(ctx)
	if known != nil {
		return known, nil
	}
	select {
	case <-running.done:
		return running.class, running.err
	case <-ctx.Done():
		if known := l.peek(); known != nil { // it may have changed, but what is held of its chats can still be read
			return known, nil
		}
		return nil, &pool.Error{Upstream: l.client.cfg.REST.Name(), Err: context.Cause(ctx)}
	}
}

// knownOrRunning returns what is known of the class. If nothing is known, it returns the request under way, or one that has found a moment
// ago that there is no such class, or else starts one. That request has the values of ctx but does not end with ctx: the pool's timeout
// ends it.
func (l *classLoader) knownOrRunning(ctx context.Context) (*classInfo, *load) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.currentLocked(); known != nil {
		return known, nil
	}
	if l.missing != nil && time.Now().Before(l.until) {
		return nil, l.missing
	}
	if l.running == nil {
		started := &load{done: make(chan struct{})}
		l.running = started
		l.client.loads.Go(func() { l.run(context.WithoutCancel(ctx), started) })
	}
	return nil, l.running
}

func (l *classLoader) current() *classInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.currentLocked()
}

// currentLocked returns what is known of the class; nil: it must be asked for.
func (l *classLoader) currentLocked() *classInfo {
	if l.known != nil && (l.known.settled() || time.Now().Before(l.until)) {
		return l.known
	}
	return nil
}

// usable returns the class if a question can be asked at once; nil: the schema must be asked for first, or the class has a fault.
func (l *classLoader) usable() *classInfo {
	if known := l.current(); known != nil && known.fault == nil {
		return known
	}
	return nil
}

// peek returns what is known of the class; nil: nothing.
func (l *classLoader) peek() *classInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known
}

// forget drops what was known of a class that is gone.
func (l *classLoader) forget(gone *classInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == gone {
		l.known = nil
	}
}

// AskAgainIfMissing forgets that a class does not exist, so that the next question asks the server for it. It is for writes and for
// no-cache reads: the class may have been created a moment ago.
func (c *Client) AskAgainIfMissing() {
	for _, l := range []*classLoader{c.message, c.mute} {
		l.mu.Lock()
		l.missing = nil
		l.mu.Unlock()
	}
}

// run asks for the schema and keeps the answer.
func (l *classLoader) run(ctx context.Context, r *load) {
	defer close(r.done)
	r.class, r.err = guard.Get(func() (*classInfo, error) {
		schema, err := l.client.schemaOf(ctx, l.name)
		if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusForbidden {
			l.client.cfg.Logger.Warn("the key may not read the schema of a class: Hearth assumes that the class is as `hearth schema` creates it", "class", l.name, "error", err)
			return l.read(nil), nil
		}
		if err != nil {
			return nil, err
		}
		return l.read(schema), nil
	})
	l.keep(r)
}

// keep stores the result of a request. If the request had no answer, its result is what was known before.
func (l *classLoader) keep(r *load) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == r {
		l.running = nil
	}
	if l.known != nil && r.err != nil && !refusal(r.err) {
		r.class, r.err = l.known, nil
	}
	if e, ok := errors.AsType[*Error](r.err); ok && e.Status == http.StatusNotFound {
		l.known, l.missing, l.until = nil, r, time.Now().Add(missingFor)
	}
	if r.err != nil {
		return
	}
	l.missing = nil
	if l.known = r.class; l.known.settled() {
		l.unsettled = 0
		return
	}
	l.until = time.Now().Add(min(leastUnsettled<<min(l.unsettled, 16), mostUnsettled))
	l.unsettled++
}

// refusal says that err is an answer, and that the same request would get the same answer again.
func refusal(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && !e.Retryable()
}

// LoadClasses loads what the schema says of the classes, so that no question has to wait for it. It returns an error if a class
// cannot be served. It returns none if the class of mutes does not exist: the first read or write of a mute reports that.
func (c *Client) LoadClasses(ctx context.Context) error {
	return guard.All(func() error {
		_, err := c.message.use(ctx)
		return err
	}, func() error {
		_, err := c.mute.use(ctx)
		if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound {
			return nil
		}
		return err
	})
}

// schemaOf asks for the schema of a class or of what an alias stands for. One that does not exist is an *Error of status 404.
func (c *Client) schemaOf(ctx context.Context, name string) (*models.Class, error) {
	got, err := c.classNamed(ctx, name)
	if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusNotFound {
		return got, err
	}
	if real := c.aliased(ctx, name); real != "" { // servers before 1.36 show the class under its own name only
		return c.classNamed(ctx, real)
	}
	return nil, err
}

func (c *Client) classNamed(ctx context.Context, name string) (*models.Class, error) {
	ctx, sent := countSent(ctx, pool.Options{})
	got, err := c.schema.ClassGetter().WithClassName(name).Do(ctx)
	if err == nil {
		return got, nil
	}
	err = withRetryAfter(ctx, c.unwrapClientError(err, sent))
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound && e.Message == "" {
		variable := "HEARTH_MESSAGE_CLASS"
		if name == c.cfg.Mute.Class {
			variable = "HEARTH_MUTE_CLASS"
		}
		e.Message = fmt.Sprintf("class %s does not exist: set %s to one that does, or create it with `hearth schema`", name, variable)
	}
	return nil, err
}

// aliased is the class that an alias stands for; empty: there is no such alias, or the server knows of none.
func (c *Client) aliased(ctx context.Context, alias string) string {
	resp, err := c.cfg.REST.Do(c.credentials.with(ctx), pool.Request{Method: http.MethodGet, Path: "/v1/aliases/" + url.PathEscape(alias)})
	if err != nil || resp.Status != http.StatusOK {
		return ""
	}
	var found struct {
		Class string `json:"class"`
	}
	if json.Unmarshal(resp.Body, &found) != nil {
		return ""
	}
	return found.Class
}

// MayLag says that a search for messages may miss a write just acknowledged: their class has replicas, or it is not
// known yet whether it has.
func (c *Client) MayLag() bool { return c.message.peek().mayLag() }

// MuteMayLag is MayLag of mutes.
func (c *Client) MuteMayLag() bool { return c.mute.peek().mayLag() }

// Ready asks whether the server is up and serves.
func (c *Client) Ready(ctx context.Context) error {
	resp, err := c.cfg.REST.Do(c.credentials.with(ctx), pool.Request{Method: http.MethodGet, Path: "/v1/.well-known/ready"})
	if err != nil || resp.Status == http.StatusOK {
		return err
	}
	return &Error{
		Status:  http.StatusServiceUnavailable,
		Message: fmt.Sprintf("%s is not ready: its /v1/.well-known/ready answers %d", c.cfg.REST.Address(), resp.Status),
	}
}
