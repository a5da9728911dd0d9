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

// classLoader learns what the schema says of one class, once. Callers at the same time share one request; one that
// gives up leaves nothing behind, and the others theirs.
type classLoader struct {
	client *Client
	name   string // as configured: it may be an alias
	read   func(*models.Class) *classInfo

	mu       sync.Mutex
	known    *classInfo // guarded by mu; nil: nothing is known
	until    time.Time  // guarded by mu; when a class that is not settled is asked for again
	asked    int        // guarded by mu; times in a row that it was not settled
	underWay *load      // guarded by mu; nil: nobody asks
}

// load is one request for the schema.
type load struct {
	done  chan struct{} // closed once class and err are set
	class *classInfo
	err   error
}

// A class that is not settled is asked for again after a while, which doubles from the least to the most.
const leastUnsettled, mostUnsettled = time.Second, time.Minute

// settled says that what is known of a class holds. A role may come to show a hidden one, and its owner may mend a fault:
// the first message that others write may add the property that is missing.
func (c *classInfo) settled() bool { return !c.hidden && c.fault == nil }

func newClassLoader(c *Client, name string, read func(*models.Class) *classInfo) *classLoader {
	return &classLoader{client: c, name: name, read: read}
}

// load returns what is known of the class, and asks if nothing is. A class that cannot be served right is a *classInfo too:
// its fault says why.
func (l *classLoader) load(ctx context.Context) (*classInfo, error) {
	l.mu.Lock()
	if l.known != nil && (l.known.settled() || time.Now().Before(l.until)) {
		defer l.mu.Unlock()
		return l.known, nil
	}
	if l.underWay == nil {
		l.underWay = &load{done: make(chan struct{})}
		into := l.underWay
		l.client.loads.Go(func() { l.ask(context.WithoutCancel(ctx), into) }) // the pool ends it in time
	}
	running := l.underWay
	l.mu.Unlock()
	select {
	case <-running.done:
		return running.class, running.err
	case <-ctx.Done():
		return nil, &pool.Error{Upstream: l.client.cfg.REST.Name(), Err: context.Cause(ctx)}
	}
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

func (l *classLoader) ask(ctx context.Context, into *load) {
	into.class, into.err = guard.Get(func() (*classInfo, error) {
		schema, err := l.client.schemaOf(ctx, l.name)
		if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusForbidden {
			l.client.cfg.Logger.Warn("weaviate does not show a class: it is taken for one that hearth schema makes", "class", l.name, "error", err)
			return l.read(nil), nil
		}
		if err != nil {
			return nil, err
		}
		return l.read(schema), nil
	})
	l.mu.Lock()
	l.underWay = nil
	if l.known != nil && into.err != nil && !refusal(into.err) { // there was no answer: what was known holds
		into.class, into.err = l.known, nil
	}
	if into.err == nil {
		l.known = into.class
		if l.known.settled() {
			l.asked = 0
		} else {
			l.until = time.Now().Add(min(leastUnsettled<<min(l.asked, 16), mostUnsettled))
			l.asked++
		}
	}
	l.mu.Unlock()
	close(into.done)
}

// refusal says that err is an answer which will be the same next time.
func refusal(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && !e.Retryable()
}

// Learn fetches what the schema says of the classes, so that no question has to wait for it. A class that cannot be served is
// an error. One of mutes that does not exist is none: a caller that mutes is told so.
func (c *Client) Learn(ctx context.Context) error {
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
	err = c.unwrapClientError(err, sent)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound && e.Message == "" {
		e.Message = fmt.Sprintf("class %s does not exist: `hearth schema` creates it", name)
	}
	return nil, err
}

// aliased is the class that an alias stands for; empty: there is no such alias, or the server knows of none.
func (c *Client) aliased(ctx context.Context, alias string) string {
	resp, err := c.cfg.REST.Do(ctx, pool.Request{Method: http.MethodGet, Path: "/v1/aliases/" + url.PathEscape(alias), Header: c.header})
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
	resp, err := c.cfg.REST.Do(ctx, pool.Request{Method: http.MethodGet, Path: "/v1/.well-known/ready", Header: c.header})
	if err != nil || resp.Status == http.StatusOK {
		return err
	}
	return &Error{
		Status:  http.StatusServiceUnavailable,
		Message: fmt.Sprintf("%s is not ready: its /v1/.well-known/ready answers %d", c.cfg.REST.Address(), resp.Status),
	}
}
