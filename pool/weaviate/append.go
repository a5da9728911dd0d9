package weaviate

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/weaviate/weaviate/entities/models"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/client/wire"
	"hearth/pool"
)

// NewMessage is a message to write.
type NewMessage struct {
	wire.Message
	Vector     []float32      // nil: the class's vectorizer, if any
	Properties map[string]any // further properties of the class
}

// Outcome is what became of one message of a write.
type Outcome struct {
	Err       error     // nil: Weaviate has it
	CreatedAt time.Time // as it is read from there: the class may hold less of a time than it was given, or one of its own
}

// Append writes messages of one chat in one batch: an upsert by ID, so that sending it again changes nothing. The chat is
// named as [Client.MessageChat] does.
//
// The outcomes are in the order of the messages. If nothing was written, or the outcome of every message is unknown, Append
// returns only an error. The error of a message that may have been written wraps [pool.ErrUnknownOutcome].
func (c *Client) Append(ctx context.Context, chat string, messages []NewMessage) ([]Outcome, error) {
	class, err := c.message.use(ctx)
	if err != nil {
		return nil, err
	}
	how, err := c.writtenTimes(ctx, class, chat)
	if err != nil {
		return nil, err
	}
	objects, outcomes := make([]*models.Object, len(messages)), make([]Outcome, len(messages))
	for i, m := range messages {
		if m.Vector != nil && class.ambiguous != "" {
			return nil, wrongClass("%s", class.ambiguous)
		}
		if fault := class.time.holds(m.CreatedAt, how); fault != "" {
			return nil, &TimeError{i, fault}
		}
		objects[i], outcomes[i].CreatedAt = c.object(class, how, chat, m)
	}
	var answers []models.ObjectsGetResponse
	allBring := !slices.ContainsFunc(messages, func(m NewMessage) bool { return m.Vector == nil })
	repeated, err := c.write(class.writing(ctx, allBring), func(ctx context.Context) (err error) {
		answers, err = c.batch.ObjectsBatcher().WithObjects(objects...).WithConsistencyLevel(c.consistency(class)).Do(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(answers) != len(messages) {
		return nil, c.unknownOutcome(&Error{Status: http.StatusBadGateway, Message: "the batch answer does not match the objects sent"})
	}
	for i, a := range answers {
		outcomes[i].Err = c.verdict(a, messages[i].ID, class, class.vectorizes(messages[i].Vector != nil))
		if err := outcomes[i].Err; err != nil && repeated && !errors.Is(err, pool.ErrUnknownOutcome) {
			outcomes[i].Err = c.unknownOutcome(err)
		}
		if class.time == creationTime {
			outcomes[i].CreatedAt = time.UnixMilli(a.CreationTimeUnix).UTC()
		}
	}
	return outcomes, nil
}

// verdict says what became of an object. vectorized: the server had to make its vector.
func (c *Client) verdict(a models.ObjectsGetResponse, id string, class *classInfo, vectorized bool) error {
	if a.Result == nil || !strings.EqualFold(string(a.ID), id) {
		return c.unknownOutcome(&Error{Status: http.StatusBadGateway, Message: "no verdict for the object"})
	}
	if a.Result.Errors != nil {
		words := make([]string, 0, len(a.Result.Errors.Error))
		for _, e := range a.Result.Errors.Error {
			if e != nil { // a null in JSON
				words = append(words, e.Message)
			}
		}
		text := strings.Join(words, "; ")
		err := c.told(&Error{Status: http.StatusUnprocessableEntity, Message: shorten(text)})
		// Without a vectorizer's key the server may panic, before it stores anything.
		if vectorized && (strings.Contains(text, "vectorize") || strings.Contains(text, "panic occurred")) {
			vectorizerFailed(err)
			return err
		}
		// Of several replicas some may have it.
		if class.replicas > 1 || slices.ContainsFunc(afterStoring(), func(part string) bool { return strings.Contains(text, part) }) {
			return c.unknownOutcome(err)
		}
		return err
	}
	if s := a.Result.Status; s != nil && *s != models.ObjectsGetResponseAO2ResultStatusSUCCESS {
		return c.unknownOutcome(&Error{Status: http.StatusBadGateway, Message: "status " + *s})
	}
	return nil
}

// afterStoring are parts of the texts of failures that may come after the object was stored. An example: where the first batch
// of a class has vectors of different lengths, the server notices only while it puts them into the index.
func afterStoring() []string {
	return []string{"insert to vector index", "panic occurred", "context deadline exceeded", "context canceled"}
}

// object is a message as it is written, and its time as it will be read.
func (c *Client) object(class *classInfo, how written, chat string, m NewMessage) (*models.Object, time.Time) {
	p := c.cfg.Message
	properties := maps.Clone(m.Properties)
	if properties == nil {
		properties = make(map[string]any, 4)
	}
	properties[p.ChatID] = class.chatID.stored(chat)
	properties[p.Role] = c.stored(m.Role)[0]
	properties[p.Content] = m.Content
	stored, at := class.time.write(m.CreatedAt, how)
	if class.time != creationTime {
		properties[p.CreatedAt] = stored
	}
	o := &models.Object{Class: class.loader.name, ID: strfmt.UUID(m.ID), Tenant: c.tenant(class), Properties: properties}
	switch {
	case m.Vector == nil:
	case class.vector != "":
		o.Vectors = models.Vectors{class.vector: m.Vector}
	default:
		o.Vector = m.Vector
	}
	return o, at
}

// writtenTimes finds out how the rows of a class write their time, if the schema does not say so. If the rows of the class differ,
// the rows of the chat decide.
func (c *Client) writtenTimes(ctx context.Context, class *classInfo, chat string) (written, error) {
	if class.time == dateTime || class.time == creationTime {
		return written{}, nil
	}
	if w := class.written.Load(); w != nil {
		return *w, nil
	}
	w, err := c.sampleTimes(ctx, class, nil)
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == WrongClass {
		return c.sampleTimes(ctx, class, class.chatID.filter(c.cfg.Message.ChatID, chat))
	}
	if err == nil && w != (written{}) {
		class.written.Store(&w)
	}
	return w, err
}

// sampleTimes reads the times of some rows that pass the filter; nil: of any.
func (c *Client) sampleTimes(ctx context.Context, class *classInfo, filter *pb.Filters) (written, error) {
	const sample = 100
	m := c.cfg.Message
	rows, _, err := c.askUpTo(ctx, class, sample, &pb.SearchRequest{
		Filters:    filter,
		Properties: &pb.PropertiesRequest{NonRefProperties: []string{m.CreatedAt}}, Metadata: &pb.MetadataRequest{Uuid: true},
	})
	if err != nil {
		return written{}, err
	}
	times := times{class: class, property: m.CreatedAt}
	for _, r := range rows {
		if _, err := times.read(r); err != nil {
			return written{}, err
		}
	}
	return times.written, nil
}
