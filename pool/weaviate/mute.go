package weaviate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/weaviate/weaviate/entities/models"
)

// Mute is whether the bot is to be silent in a chat.
type Mute struct {
	ID      string // the object's UUID; empty: the chat has none
	Muted   bool
	Until   time.Time // zero: no end
	Updated time.Time // by the server's clock
}

// Mute reads a chat's mute. Where a chat has several objects, the last one updated counts.
func (c *Client) Mute(ctx context.Context, chat string) (Mute, error) {
	p := c.cfg.Mute
	f, err := c.searchFacts(ctx, p.Class, false)
	if err != nil {
		return Mute{}, err
	}
	var rows []row
	for limit := 100; ; limit = min(limit*10, maxRows) {
		rows, err = c.ask(ctx, p.Class, c.get(p.Class, f, []string{"where:" + equal(p.ChatID, chat), fmt.Sprintf("limit:%d", limit)},
			p.ChatID, p.Muted, p.Until, "_additional{id lastUpdateTimeUnix}"))
		if err != nil {
			return Mute{}, err
		}
		if len(rows) < limit || limit == maxRows {
			break
		}
	}
	var last Mute
	for _, r := range rows {
		if r.text(p.ChatID) != chat {
			c.warnForeign(p.Class)
			continue
		}
		m := Mute{ID: r.id(), Updated: time.UnixMilli(int64(r.number("lastUpdateTimeUnix")))}
		if last.ID != "" && !m.Updated.After(last.Updated) {
			continue
		}
		m.Muted, _ = r[p.Muted].(bool)
		if r[p.Until] != nil {
			if m.Until, err = r.time(p.Until); err != nil {
				return Mute{}, err
			}
		}
		last = m
	}
	return last, nil
}

// SetMute writes a chat's mute: into its object where there is one, whoever wrote it, else into a new object
// with the ID newID.
func (c *Client) SetMute(ctx context.Context, chat string, muted bool, until time.Time, newID string) error {
	p := c.cfg.Mute
	f, err := c.searchFacts(ctx, p.Class, false)
	if err != nil {
		return err
	}
	held, err := c.Mute(ctx, chat)
	if err != nil {
		return err
	}
	properties := map[string]any{p.ChatID: chat, p.Muted: muted, p.Until: nil}
	if !until.IsZero() {
		properties[p.Until] = until.UTC().Format(time.RFC3339Nano)
	}
	if held.ID != "" {
		err := c.write(ctx, func(ctx context.Context) error {
			return c.data.Updater().WithMerge().WithClassName(p.Class).WithID(held.ID).WithTenant(c.cfg.Tenant).
				WithProperties(properties).WithConsistencyLevel(c.consistency(f)).Do(ctx)
		})
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusNotFound {
			return err
		}
		// Somebody has deleted it meanwhile: write a new one.
	}
	if until.IsZero() {
		delete(properties, p.Until)
	}
	return c.write(ctx, func(ctx context.Context) error {
		answers, err := c.batch.ObjectsBatcher().WithConsistencyLevel(c.consistency(f)).WithObjects(&models.Object{
			Class: p.Class, ID: strfmt.UUID(newID), Tenant: c.cfg.Tenant, Properties: properties,
		}).Do(ctx)
		if err != nil {
			return err
		}
		if len(answers) != 1 {
			return &Error{Status: http.StatusBadGateway, Message: "the batch answer does not match the object sent"}
		}
		return verdict(answers[0], newID, f)
	})
}
