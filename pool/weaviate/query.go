package weaviate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weaviate/weaviate/entities/models"
	"golang.org/x/sync/errgroup"

	"hearth/internal/guard"
	"hearth/pool"
)

// maxRows is the server's QUERY_MAXIMUM_RESULTS by default: no search goes deeper.
const maxRows = 10_000

// quote encodes s as a GraphQL string. JSON's escapes are a subset of GraphQL's; Go's %q is not.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always encodes
	return string(b)
}

func quoteAll(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = quote(s)
	}
	return "[" + strings.Join(q, ",") + "]"
}

func equal(property, value string) string {
	return fmt.Sprintf("{path:[%s],operator:Equal,valueText:%s}", quote(property), quote(value))
}

func combine(operator string, filters ...string) string {
	if len(filters) == 1 {
		return filters[0]
	}
	return fmt.Sprintf("{operator:%s,operands:[%s]}", operator, strings.Join(filters, ","))
}

// get writes a search over one class: its arguments and the fields wanted.
func (c *Client) get(class string, f *facts, args []string, fields ...string) string {
	if c.cfg.Tenant != "" {
		args = append(args, "tenant:"+quote(c.cfg.Tenant))
	}
	if f.replicas > 1 && c.cfg.Consistency != "" { // elsewhere the argument does not exist
		args = append(args, "consistencyLevel:"+c.cfg.Consistency)
	}
	return fmt.Sprintf("{Get{%s(%s){%s}}}", class, strings.Join(args, ","), strings.Join(fields, " "))
}

// row is one object of an answer.
type row map[string]any

func (r row) text(property string) string { s, _ := r[property].(string); return s }

func (r row) additional(name string) any {
	a, _ := r["_additional"].(map[string]any)
	return a[name]
}

func (r row) id() string { s, _ := r.additional("id").(string); return s }

// number reads what the server writes as a number in some fields and as a string in others.
func (r row) number(name string) float64 {
	switch v := r.additional(name).(type) {
	case float64:
		return v
	case string:
		f, _ := strconv.ParseFloat(v, 64)
		return f
	}
	return 0
}

// time reads a date; a row without one has the zero Unix time, as it comes last in the server's order too.
func (r row) time(property string) (time.Time, error) {
	switch v := r[property].(type) {
	case nil:
		return time.Unix(0, 0).UTC(), nil
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, &Error{Status: http.StatusUnprocessableEntity, Message: fmt.Sprintf("property %q is not a date", property)}
}

// ask sends one search and returns its rows.
func (c *Client) ask(ctx context.Context, class, query string) ([]row, error) {
	ctx, sent := pool.TraceSent(pool.Repeatable(ctx))
	resp, err := c.graphql.Raw().WithQuery(query).Do(ctx)
	if err != nil {
		return nil, c.fail(err, sent)
	}
	return rows(resp, class)
}

// askAll sends several searches over one class in one request, which the server runs in parallel. Where that
// is refused (it needs read rights on every class) each travels alone, at the same time.
func (c *Client) askAll(ctx context.Context, class string, queries []string) ([][]row, error) {
	if len(queries) > 1 && !c.noBatch.Load() {
		answers, err := c.askBatch(ctx, queries)
		if err == nil {
			return collect(answers, func(r *models.GraphQLResponse) ([]row, error) { return rows(r, class) })
		}
		if e, ok := err.(*Error); !ok || !refusesBatch(e.Status) { //nolint:errorlint // askBatch wraps nothing
			return nil, err
		}
		c.noBatch.Store(true)
		c.cfg.Logger.Warn("weaviate refuses /v1/graphql/batch: asking one by one", "error", err)
	}
	out := make([][]row, len(queries))
	g, ctx := errgroup.WithContext(ctx)
	for i, q := range queries {
		g.Go(func() error {
			return guard.Do(func() (err error) { out[i], err = c.ask(ctx, class, q); return err })
		})
	}
	return out, g.Wait()
}

func refusesBatch(status int) bool {
	return slices.Contains([]int{http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented}, status)
}

// askBatch does what the library cannot, over the same pool.
func (c *Client) askBatch(ctx context.Context, queries []string) ([]*models.GraphQLResponse, error) {
	type question struct {
		Query string `json:"query"`
	}
	questions := make([]question, len(queries))
	for i, q := range queries {
		questions[i].Query = q
	}
	body, err := json.Marshal(questions)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if c.cfg.APIKey != "" {
		header.Set("Authorization", "Bearer "+c.cfg.APIKey)
	}
	resp, err := c.pool.Do(ctx, pool.Request{
		Method: http.MethodPost, Path: "/v1/graphql/batch", Header: header, Body: body, Repeatable: true,
	})
	if err != nil {
		return nil, err
	}
	if resp.Status != http.StatusOK {
		return nil, &Error{Status: resp.Status, Message: shorten(string(resp.Body))}
	}
	var answers []*models.GraphQLResponse
	if err := json.Unmarshal(resp.Body, &answers); err != nil || len(answers) != len(queries) || slices.Contains(answers, nil) {
		return nil, &Error{Status: http.StatusBadGateway, Message: "the batch answer does not match the questions"}
	}
	return answers, nil
}

func rows(resp *models.GraphQLResponse, class string) ([]row, error) {
	if len(resp.Errors) > 0 {
		messages := make([]string, 0, len(resp.Errors))
		for _, e := range resp.Errors {
			if e != nil {
				messages = append(messages, e.Message)
			}
		}
		return nil, graphQLError(messages)
	}
	get, _ := resp.Data["Get"].(map[string]any)
	list, ok := get[class].([]any)
	if !ok {
		return nil, &Error{Status: http.StatusBadGateway, Message: "the answer holds no rows of class " + class}
	}
	return collect(list, func(v any) (row, error) {
		if m, ok := v.(map[string]any); ok {
			return m, nil
		}
		return nil, &Error{Status: http.StatusBadGateway, Message: "the answer holds a row that is no object"}
	})
}

// collect maps a list until the first error.
func collect[T, U any](list []T, f func(T) (U, error)) ([]U, error) {
	out := make([]U, len(list))
	for i, v := range list {
		var err error
		if out[i], err = f(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}
