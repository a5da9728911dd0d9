package weaviate

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/weaviate/weaviate/entities/models"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/client/wire"
)

// Mute is a chat's mute as it is stored.
type Mute struct {
	wire.Mute
	ID      string    // the object's UUID; empty: the chat has none
	Updated time.Time // by the server's clock
}

// Mute reads a chat's mute. Where a chat has several objects, the last one updated counts. The chat is named as
// [Client.MuteChat] does.
func (c *Client) Mute(ctx context.Context, chat string) (Mute, error) {
	class, err := c.mute.use(ctx)
	if err != nil {
		return Mute{}, err
	}
	rows, err := c.muteRows(ctx, class, chat)
	if err != nil {
		return Mute{}, err
	}
	var last Mute
	for _, r := range rows {
		if r.chat(c.cfg.Mute.ChatID) != chat {
			c.warnForeign(class.name)
			continue
		}
		m, err := c.readMute(class, r)
		if err != nil {
			return Mute{}, err
		}
		if last.ID == "" || m.Updated.After(last.Updated) {
			last = m
		}
	}
	return last, nil
}

func (c *Client) muteRows(ctx context.Context, class *classInfo, chat string) ([]row, error) {
	u := c.cfg.Mute
	properties := []string{u.ChatID, u.Muted}
	if u.Until != "" {
		properties = append(properties, u.Until)
	}
	for limit := 100; ; limit *= 10 {
		var rows []row
		var err error
		rows, limit, err = c.askUpTo(ctx, class, limit, &pb.SearchRequest{
			Filters:    class.chatID.filter(u.ChatID, chat),
			Properties: &pb.PropertiesRequest{NonRefProperties: properties},
			Metadata:   &pb.MetadataRequest{Uuid: true, LastUpdateTimeUnix: true},
		})
		switch {
		case err != nil:
			return nil, err
		case len(rows) < limit:
			return rows, nil
		case c.depth.fit(limit+1) <= limit:
			return nil, cutShort(class.name)
		}
	}
}

func (c *Client) readMute(class *classInfo, r row) (Mute, error) {
	u := c.cfg.Mute
	m := Mute{ID: r.id, Updated: time.UnixMilli(r.updated)}
	switch v := r.value(u.Muted); v.kind {
	case noKind, nullKind:
	case boolKind:
		m.Muted = v.integer != 0
	default:
		return m, wrongClass("class %s: property %q is %s, not a boolean", class.name, u.Muted, r.kind(u.Muted))
	}
	if u.Until == "" {
		return m, nil
	}
	switch v := r.value(u.Until); v.kind {
	case noKind, nullKind:
		return m, nil
	case dateKind:
		if until, err := time.Parse(time.RFC3339Nano, v.text); err == nil {
			m.Until = new(until.UTC())
			return m, nil
		}
	default:
	}
	return m, wrongClass("class %s: property %q is %s, not a date", class.name, u.Until, r.kind(u.Until))
}

// TakesUntil says whether the class of mutes has a property for a mute's end.
func (c *Client) TakesUntil() bool { return c.cfg.Mute.Until != "" }

// SetMute writes a chat's mute. If the chat has an object, SetMute changes that, even if another program wrote it. Otherwise it
// makes a new object with the ID newID. The error of a write that may have been applied wraps [pool.ErrUnknownOutcome].
func (c *Client) SetMute(ctx context.Context, chat string, mute wire.Mute, newID string) error {
	held, err := c.Mute(ctx, chat)
	if err != nil {
		return err
	}
	class, err := c.mute.use(ctx)
	if err != nil {
		return err
	}
	ctx = class.writing(ctx, false)
	u := c.cfg.Mute
	properties := map[string]any{u.ChatID: class.chatID.stored(chat), u.Muted: mute.Muted}
	if mute.Until != nil {
		properties[u.Until] = mute.Until.UTC().Format(time.RFC3339Nano)
	}
	if held.ID != "" {
		if mute.Until == nil && u.Until != "" {
			properties[u.Until] = nil
		}
		_, err := c.write(ctx, func(ctx context.Context) error {
			return c.data.Updater().WithMerge().WithClassName(class.loader.name).WithID(held.ID).WithTenant(c.tenant(class)).
				WithProperties(properties).WithConsistencyLevel(c.consistency(class)).Do(ctx)
		})
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusNotFound {
			return err
		}
		// The object was deleted meanwhile: write a new one.
		if mute.Until == nil {
			delete(properties, u.Until)
		}
	}
	_, err = c.write(ctx, func(ctx context.Context) error {
		answers, err := c.batch.ObjectsBatcher().WithConsistencyLevel(c.consistency(class)).WithObjects(&models.Object{
			Class: class.loader.name, ID: strfmt.UUID(newID), Tenant: c.tenant(class), Properties: properties,
		}).Do(ctx)
		if err != nil {
			return err
		}
		if len(answers) != 1 {
			return &Error{Status: http.StatusBadGateway, Message: "the batch answer does not match the object sent"}
		}
		return c.verdict(answers[0], newID, class, false)
	})
	return err
}

func (c *Client) tenant(class *classInfo) string {
	if class.tenants {
		return c.cfg.Tenant
	}
	return ""
}
