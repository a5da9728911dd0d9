package weaviate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/weaviate/weaviate/entities/models"
)

// NewMessage is a message to write.
type NewMessage struct {
	Message
	Vector     []float32      // nil: the class's vectorizer, if any
	Properties map[string]any // further properties of the class
}

// Append writes messages of one chat in one batch: an upsert by ID, so that sending it again changes nothing.
//
// The error of each message stands in its place: nil once Weaviate has it. When the outcome of the whole
// batch is unknown or nothing was written, Append returns that error alone.
func (c *Client) Append(ctx context.Context, chat string, messages []NewMessage) ([]error, error) {
	f, err := c.searchFacts(ctx, c.cfg.Message.Class, false)
	if err != nil {
		return nil, err
	}
	objects := make([]*models.Object, len(messages))
	for i, m := range messages {
		objects[i] = c.object(chat, m)
	}
	var answers []models.ObjectsGetResponse
	err = c.write(ctx, func(ctx context.Context) (err error) {
		answers, err = c.batch.ObjectsBatcher().WithObjects(objects...).WithConsistencyLevel(c.consistency(f)).Do(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(answers) != len(messages) {
		return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome,
			&Error{Status: http.StatusBadGateway, Message: "the batch answer does not match the objects sent"})
	}
	verdicts := make([]error, len(answers))
	for i, a := range answers {
		verdicts[i] = verdict(a, messages[i].ID, f)
	}
	return verdicts, nil
}

func verdict(a models.ObjectsGetResponse, id string, f *facts) error {
	if a.Result == nil || !strings.EqualFold(string(a.ID), id) {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, &Error{Status: http.StatusBadGateway, Message: "no verdict for the object"})
	}
	if a.Result.Errors != nil {
		words := make([]string, 0, len(a.Result.Errors.Error))
		for _, e := range a.Result.Errors.Error {
			words = append(words, e.Message)
		}
		err := &Error{Status: http.StatusUnprocessableEntity, Message: shorten(strings.Join(words, "; "))}
		if f.replicas > 1 { // some of them may have it
			return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
		}
		return err
	}
	if s := a.Result.Status; s != nil && *s != models.ObjectsGetResponseAO2ResultStatusSUCCESS {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, &Error{Status: http.StatusBadGateway, Message: "status " + *s})
	}
	return nil
}

func (c *Client) object(chat string, m NewMessage) *models.Object {
	p := c.cfg.Message
	properties := maps.Clone(m.Properties)
	if properties == nil {
		properties = make(map[string]any, 4)
	}
	properties[p.ChatID] = chat
	properties[p.Role] = m.Role
	properties[p.Content] = m.Content
	properties[p.CreatedAt] = m.CreatedAt.UTC().Format(time.RFC3339Nano)
	o := &models.Object{Class: p.Class, ID: strfmt.UUID(m.ID), Tenant: c.cfg.Tenant, Properties: properties}
	switch {
	case m.Vector == nil:
	case c.cfg.Vector != "":
		o.Vectors = models.Vectors{c.cfg.Vector: m.Vector}
	default:
		o.Vector = m.Vector
	}
	return o
}

// Unknown says that a write may have been applied although it failed.
func Unknown(err error) bool { return errors.Is(err, ErrUnknownOutcome) }
