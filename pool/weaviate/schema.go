package weaviate

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/weaviate/weaviate/entities/models"

	"hearth/pool"
)

// CreateClasses creates the classes that are missing, and the tenant in each that has tenants, and returns what it created.
func (c *Client) CreateClasses(ctx context.Context) (created []string, err error) {
	for _, want := range c.classes() {
		ctx, sent := countSent(ctx, pool.Options{})
		got, err := c.schemaOf(ctx, want.Class)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusNotFound {
				return created, err
			}
			if err := c.createClass(ctx, want); err != nil {
				return created, err
			}
			got = want
			created = append(created, want.Class)
		}
		if c.cfg.Tenant == "" || !hasTenants(got) {
			continue
		}
		ok, err := c.schema.TenantsExists().WithClassName(got.Class).WithTenant(c.cfg.Tenant).Do(ctx)
		if err == nil && !ok {
			err = c.schema.TenantsCreator().WithClassName(got.Class).WithTenants(models.Tenant{Name: c.cfg.Tenant}).Do(ctx)
		}
		if err != nil {
			return created, c.unwrapClientError(err, sent)
		}
		if !ok {
			created = append(created, "tenant "+c.cfg.Tenant+" of "+got.Class)
		}
	}
	return created, nil
}

// createClass leaves the index of a vector to the server. Servers before 1.36 want it named.
func (c *Client) createClass(ctx context.Context, class *models.Class) error {
	ctx, sent := countSent(ctx, pool.Options{})
	err := c.schema.ClassCreator().WithClass(class).Do(ctx)
	if err == nil {
		return nil
	}
	err = c.unwrapClientError(err, sent)
	if e, ok := errors.AsType[*Error](err); !ok || !strings.Contains(e.Message, "vectorIndexType") || len(class.VectorConfig) == 0 {
		return err
	}
	for name, v := range class.VectorConfig {
		v.VectorIndexType = "hnsw"
		class.VectorConfig[name] = v
	}
	if err := c.schema.ClassCreator().WithClass(class).Do(ctx); err != nil {
		return c.unwrapClientError(err, sent)
	}
	return nil
}

func hasTenants(class *models.Class) bool {
	return class.MultiTenancyConfig != nil && class.MultiTenancyConfig.Enabled
}

// classes are the classes as Hearth would make them. A class without vectorizer takes vectors all the same; how they are
// indexed is left to the server.
func (c *Client) classes() []*models.Class {
	m, u := c.cfg.Message, c.cfg.Mute
	text := func(name, tokenization string) *models.Property {
		return &models.Property{Name: name, DataType: []string{"text"}, Tokenization: tokenization}
	}
	date := func(name string) *models.Property { return &models.Property{Name: name, DataType: []string{"date"}} }
	content := text(m.Content, "word")
	content.IndexFilterable = new(false) // searched by bm25, never filtered by
	messages := &models.Class{Class: m.Class, Properties: []*models.Property{text(m.ChatID, "field"), text(m.Role, "field"), content}}
	if m.CreatedAt != CreationTime {
		messages.Properties = append(messages.Properties, date(m.CreatedAt))
	}
	mutes := &models.Class{Class: u.Class, Properties: []*models.Property{
		text(u.ChatID, "field"), {Name: u.Muted, DataType: []string{"boolean"}},
	}}
	if u.Until != "" {
		mutes.Properties = append(mutes.Properties, date(u.Until))
	}
	if c.cfg.Vector != "" {
		messages.VectorConfig = map[string]models.VectorConfig{c.cfg.Vector: {Vectorizer: map[string]any{"none": map[string]any{}}}}
	}
	if c.cfg.Tenant != "" {
		for _, class := range []*models.Class{messages, mutes} {
			class.MultiTenancyConfig = &models.MultiTenancyConfig{Enabled: true}
		}
	}
	return []*models.Class{messages, mutes}
}
