package weaviate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/weaviate/weaviate/entities/models"

	"hearth/internal/guard"
	"hearth/pool"
)

// facts are what the schema says of a class, as far as questions depend on it.
type facts struct {
	vectorizer bool
	replicas   int64
	hidden     bool // the schema may not be read: nothing is known
}

// searchFacts returns what is known of a class, and asks only where the questions depend on it: when auto
// needs the vectorizer, or when a consistency level is wanted, which exists only with replicas.
func (c *Client) searchFacts(ctx context.Context, class string, auto bool) (*facts, error) {
	if _, known := c.facts.Load(class); !known && !auto && c.cfg.Consistency == "" {
		return &facts{}, nil
	}
	return c.learn(ctx, class)
}

// Learn fetches what the schema says of the classes, so that no question has to wait for it: one after the other, since
// questions want connections too. A class of mutes that does not exist is no fault: who mutes is told so.
func (c *Client) Learn(ctx context.Context) error {
	_, err := c.learn(ctx, c.cfg.Message.Class)
	_, err2 := c.learn(ctx, c.cfg.Mute.Class)
	if e, ok := errors.AsType[*Error](err2); ok && e.Status == http.StatusNotFound {
		err2 = nil
	}
	return errors.Join(err, err2)
}

// learn fetches what the schema says of a class, once. Callers at the same time share one request; one that
// gives up leaves the others theirs.
func (c *Client) learn(ctx context.Context, class string) (*facts, error) {
	if f, ok := c.facts.Load(class); ok {
		return f.(*facts), nil //nolint:forcetypeassert // the map holds nothing else
	}
	result := c.learning.DoChan(class, func() (any, error) { // by itself it makes a panic the end of the process
		return guard.Get(func() (any, error) { return c.askFor(context.WithoutCancel(ctx), class) }) // the pool ends it in time
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*facts), nil //nolint:forcetypeassert // see above
	case <-ctx.Done():
		return nil, &pool.Error{Upstream: c.pool.Name(), Err: context.Cause(ctx)}
	}
}

// class asks what the schema says of a class. One that does not exist is an *Error of status 404.
func (c *Client) class(ctx context.Context, name string) (*models.Class, error) {
	ctx, sent := pool.TraceSent(ctx)
	got, err := c.schema.ClassGetter().WithClassName(name).Do(ctx)
	if err == nil {
		return got, nil
	}
	err = c.fail(err, sent)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusNotFound && e.Message == "" {
		e.Message = fmt.Sprintf("class %s does not exist: `hearth schema` creates it", name)
	}
	return nil, err
}

func (c *Client) askFor(ctx context.Context, class string) (*facts, error) {
	got, err := c.class(ctx, class)
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Status != http.StatusForbidden {
			return nil, err
		}
		if class == c.cfg.Message.Class { // the other is hidden too
			c.cfg.Logger.Warn("weaviate does not show the schema: relevance is by bm25 unless the request says otherwise, and the default consistency is used", "error", err)
		}
		f := &facts{hidden: true}
		c.facts.Store(class, f)
		return f, nil
	}
	f := c.read(got)
	c.facts.Store(class, f)
	return f, nil
}

func (c *Client) read(class *models.Class) *facts {
	f := &facts{vectorizer: class.Vectorizer != "" && class.Vectorizer != "none"}
	for name, v := range class.VectorConfig {
		if c.cfg.Vector != "" && name != c.cfg.Vector {
			continue
		}
		if m, ok := v.Vectorizer.(map[string]any); ok {
			_, none := m["none"]
			f.vectorizer = f.vectorizer || len(m) > 0 && !none
		}
	}
	if class.ReplicationConfig != nil {
		f.replicas = class.ReplicationConfig.Factor
	}
	return f
}

func (f *facts) autoMode(q Query) Mode {
	switch {
	case len(q.Vector) > 0 && strings.TrimSpace(q.Text) == "":
		return NearVector
	case len(q.Vector) > 0:
		return Hybrid
	case f.vectorizer:
		return NearText
	}
	return BM25
}

// MayLag says that a search for messages may miss a write just acknowledged: their class has replicas, or it is not
// known yet whether it has.
func (c *Client) MayLag() bool { return c.mayLag(c.cfg.Message.Class) }

// MuteMayLag is MayLag of mutes.
func (c *Client) MuteMayLag() bool { return c.mayLag(c.cfg.Mute.Class) }

func (c *Client) mayLag(class string) bool {
	f, ok := c.facts.Load(class)
	return !ok || f.(*facts).hidden || f.(*facts).replicas > 1 //nolint:forcetypeassert // the map holds nothing else
}

func (c *Client) consistency(f *facts) string {
	if f.replicas > 1 {
		return c.cfg.Consistency
	}
	return ""
}

// Ready asks whether the server is up and serves.
func (c *Client) Ready(ctx context.Context) error {
	ctx, sent := pool.TraceSent(ctx)
	ok, err := c.misc.ReadyChecker().Do(ctx)
	if err != nil {
		return c.fail(err, sent)
	}
	if !ok {
		return errors.New("weaviate: not ready: GET /v1/.well-known/ready does not answer 200")
	}
	return nil
}

// Check compares the classes with what Hearth needs, and returns every fault it finds.
func (c *Client) Check(ctx context.Context) error {
	var faults []error
	for _, want := range c.classes() {
		ctx, sent := pool.TraceSent(ctx)
		got, err := c.class(ctx, want.Class)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, p := range want.Properties {
			faults = append(faults, checkProperty(want.Class, p, got.Properties))
		}
		if tenants := got.MultiTenancyConfig != nil && got.MultiTenancyConfig.Enabled; tenants != (c.cfg.Tenant != "") {
			faults = append(faults, fmt.Errorf("class %s: multi-tenancy is %t, but HEARTH_WEAVIATE_TENANT says otherwise", want.Class, tenants))
		}
		if c.cfg.Tenant != "" && got.MultiTenancyConfig != nil && got.MultiTenancyConfig.Enabled {
			if ok, err := c.schema.TenantsExists().WithClassName(want.Class).WithTenant(c.cfg.Tenant).Do(ctx); err != nil {
				faults = append(faults, c.fail(err, sent))
			} else if !ok {
				faults = append(faults, fmt.Errorf("class %s has no tenant %q: `hearth schema` creates it", want.Class, c.cfg.Tenant))
			}
		}
		if _, ok := got.VectorConfig[c.cfg.Vector]; c.cfg.Vector != "" && want.Class == c.cfg.Message.Class && !ok {
			faults = append(faults, fmt.Errorf("class %s has no vector named %q", want.Class, c.cfg.Vector))
		}
	}
	return errors.Join(faults...)
}

func checkProperty(class string, want *models.Property, got []*models.Property) error {
	i := slices.IndexFunc(got, func(p *models.Property) bool { return p.Name == want.Name })
	if i < 0 {
		return fmt.Errorf("class %s has no property %q", class, want.Name)
	}
	p := got[i]
	isUUID := slices.Equal(p.DataType, []string{"uuid"})
	switch {
	case want.Tokenization == "field" && isUUID:
		return nil
	case !slices.Equal(p.DataType, want.DataType):
		return fmt.Errorf("class %s: property %q is %v, not %v", class, p.Name, p.DataType, want.DataType)
	case want.Tokenization == "field" && p.Tokenization != "field":
		return fmt.Errorf("class %s: property %q has tokenization %q: searches match other chats too, which Hearth leaves out at a cost; it should be \"field\"",
			class, p.Name, p.Tokenization)
	case p.IndexFilterable != nil && !*p.IndexFilterable && want.IndexFilterable == nil:
		return fmt.Errorf("class %s: property %q is not filterable", class, p.Name)
	}
	return nil
}

// CreateClasses creates the classes that are missing, and the tenant in each, and returns what it created.
func (c *Client) CreateClasses(ctx context.Context) (created []string, err error) {
	for _, class := range c.classes() {
		ctx, sent := pool.TraceSent(ctx)
		_, err := c.class(ctx, class.Class)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusNotFound {
				return created, err
			}
			if err := c.schema.ClassCreator().WithClass(class).Do(ctx); err != nil {
				return created, c.fail(err, sent)
			}
			created = append(created, class.Class)
		}
		if c.cfg.Tenant == "" {
			continue
		}
		ok, err := c.schema.TenantsExists().WithClassName(class.Class).WithTenant(c.cfg.Tenant).Do(ctx)
		if err == nil && !ok {
			err = c.schema.TenantsCreator().WithClassName(class.Class).WithTenants(models.Tenant{Name: c.cfg.Tenant}).Do(ctx)
		}
		if err != nil {
			return created, c.fail(err, sent)
		}
		if !ok {
			created = append(created, "tenant "+c.cfg.Tenant+" of "+class.Class)
		}
	}
	return created, nil
}

// classes are the classes as Hearth would make them. A class without vectorizer takes vectors all the same.
func (c *Client) classes() []*models.Class {
	m, u := c.cfg.Message, c.cfg.Mute
	text := func(name, tokenization string) *models.Property {
		return &models.Property{Name: name, DataType: []string{"text"}, Tokenization: tokenization}
	}
	content := text(m.Content, "word")
	content.IndexFilterable = new(false) // searched by bm25, never filtered by
	classes := []*models.Class{
		{Class: m.Class, Properties: []*models.Property{
			text(m.ChatID, "field"), text(m.Role, "field"), content, {Name: m.CreatedAt, DataType: []string{"date"}},
		}},
		{Class: u.Class, Properties: []*models.Property{
			text(u.ChatID, "field"), {Name: u.Muted, DataType: []string{"boolean"}}, {Name: u.Until, DataType: []string{"date"}},
		}},
	}
	for _, class := range classes {
		if c.cfg.Tenant != "" {
			class.MultiTenancyConfig = &models.MultiTenancyConfig{Enabled: true}
		}
	}
	if c.cfg.Vector != "" {
		classes[0].VectorConfig = map[string]models.VectorConfig{
			c.cfg.Vector: {Vectorizer: map[string]any{"none": map[string]any{}}, VectorIndexType: "hnsw"},
		}
	}
	return classes
}
