package weaviate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/client/wire"
	"hearth/pool"
)

// Mode is how relevance is measured.
type Mode string

// The modes. Auto is Hybrid with a vector, else NearText where the class has a vectorizer, else BM25; and BM25 where the
// vectorizer cannot be used, or no setting says which of several vectors is meant.
const (
	Auto       Mode = "auto"
	BM25       Mode = "bm25"
	NearText   Mode = "near_text"
	NearVector Mode = "near_vector"
	Hybrid     Mode = "hybrid"
)

// Query asks for the messages of one chat that are relevant to a text. The chat is named as [Client.MessageChat] does.
type Query struct {
	Chat   string
	Text   string
	Mode   Mode
	Vector []float32
	Roles  []wire.Role
	Count  int // messages wanted in all
}

// Relevant returns up to q.Count messages, best first, from one search over all roles, and the mode of that search.
func (c *Client) Relevant(ctx context.Context, q Query) ([]wire.ScoredMessage, Mode, error) {
	class, err := c.message.use(ctx)
	if err != nil {
		return nil, "", err
	}
	auto := q.Mode == Auto
	if auto {
		q.Mode = c.autoMode(class, q)
	}
	found, err := c.relevant(ctx, class, q)
	if e, ok := errors.AsType[*Error](err); ok && e.vectorizer && auto && q.Mode == NearText {
		c.noVectorizer.remember(func() {
			c.cfg.Logger.Warn("relevance falls back to bm25: the vectorizer cannot be used", "class", class.name, "error", err)
		})
		q.Mode = BM25
		found, err = c.relevant(ctx, class, q)
	}
	return found, q.Mode, err
}

func (c *Client) autoMode(class *classInfo, q Query) Mode {
	switch {
	case class.ambiguous != "":
		return BM25
	case len(q.Vector) > 0 && strings.TrimSpace(q.Text) == "":
		return NearVector
	case len(q.Vector) > 0:
		return Hybrid
	case class.vectorizer && !c.noVectorizer.active():
		return NearText
	}
	return BM25
}

// relevant asks with a larger limit where rows of other chats took the places of ours.
func (c *Client) relevant(ctx context.Context, class *classInfo, q Query) ([]wire.ScoredMessage, error) {
	if err := q.possible(class, c.cfg.Message.Content); err != nil {
		return nil, err
	}
	for limit := q.Count; ; limit *= 4 {
		var rows []row
		var err error
		rows, limit, err = c.askUpTo(ctx, class, limit, c.relevantRequest(class, q))
		if e, ok := errors.AsType[*pool.TooLargeError](err); ok {
			if limit > q.Count { // rows of other chats have made it so
				return nil, cutShort(class.name)
			}
			return nil, c.fewerRelevant(ctx, class, q, e)
		}
		if err != nil {
			return nil, err
		}
		found, err := c.scored(class, rows, q)
		switch {
		case err != nil:
			return nil, err
		case len(found) >= q.Count, len(rows) < limit:
			return found[:min(len(found), q.Count)], nil
		case c.depth.fit(limit+1) <= limit:
			return nil, cutShort(class.name)
		}
	}
}

// fewerRelevant finds out how many messages one answer has room for.
func (c *Client) fewerRelevant(ctx context.Context, class *classInfo, q Query, tooMany *pool.TooLargeError) error {
	fits, not := 0, q.Count
	for fits+1 < not {
		try := (fits + not) / 2
		_, _, err := c.askUpTo(ctx, class, try, c.relevantRequest(class, q))
		if e, ok := errors.AsType[*pool.TooLargeError](err); ok {
			not, tooMany = try, e
		} else if err != nil {
			return err
		} else {
			fits = try
		}
	}
	return tooLarge("count", fits, tooMany.Most)
}

// possible says why a class cannot be searched in this mode.
func (q Query) possible(class *classInfo, content string) error {
	if class.ambiguous != "" && q.Mode != BM25 {
		return wrongClass("%s", class.ambiguous)
	}
	if !class.searchable && (q.Mode == BM25 || q.Mode == Hybrid) {
		return wrongClass("class %s: property %q is not searchable by bm25 (indexSearchable is false)", class.name, content)
	}
	if q.Mode == NearText && !class.vectorizer && !class.hidden {
		return &Error{Status: http.StatusUnprocessableEntity, Message: fmt.Sprintf("class %s has no vectorizer: near_text needs one", class.name)}
	}
	return nil
}

func (c *Client) scored(class *classInfo, rows []row, q Query) ([]wire.ScoredMessage, error) {
	messages, err := c.messagesOf(&times{class: class, property: c.cfg.Message.CreatedAt}, rows, q.Chat, q.Roles)
	if err != nil {
		return nil, err
	}
	scores := make(map[string]float64, len(rows))
	for _, r := range rows {
		scores[r.id] = float64(r.score)
		if q.Mode == NearText || q.Mode == NearVector {
			scores[r.id] = 1 - float64(r.distance)
		}
	}
	found := make([]wire.ScoredMessage, len(messages))
	for i, m := range messages {
		found[i] = wire.ScoredMessage{Message: m, Score: scores[m.ID]}
	}
	return found, nil
}

func (c *Client) relevantRequest(class *classInfo, q Query) *pb.SearchRequest {
	m := c.cfg.Message
	req := &pb.SearchRequest{
		Filters:    all(class.chatID.filter(m.ChatID, q.Chat), anyOf(m.Role, c.stored(q.Roles...))),
		Properties: c.messageProperties(class),
		Metadata:   &pb.MetadataRequest{Uuid: true, Score: true, Distance: true, CreationTimeUnix: class.time == creationTime},
	}
	var targets *pb.Targets
	if class.vector != "" {
		targets = &pb.Targets{TargetVectors: []string{class.vector}}
	}
	content := []string{m.Content}
	switch q.Mode {
	case NearText:
		req.NearText = &pb.NearTextSearch{Query: []string{q.Text}, Targets: targets}
	case NearVector:
		req.NearVector = &pb.NearVector{VectorBytes: littleEndian(q.Vector), Targets: targets}
	case Hybrid:
		const alpha = 0.75 // Weaviate's own default; gRPC's would be keywords only
		req.HybridSearch = &pb.Hybrid{
			Query: q.Text, Properties: content, Alpha: alpha, FusionType: pb.Hybrid_FUSION_TYPE_RELATIVE_SCORE,
			VectorBytes: littleEndian(q.Vector), Targets: targets,
		}
	case BM25, Auto:
		req.Bm25Search = &pb.BM25{Query: q.Text, Properties: content}
	}
	return req
}

func littleEndian(vector []float32) []byte {
	b := make([]byte, 0, 4*len(vector))
	for _, v := range vector {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func fromLittleEndian(b []byte) []float32 {
	vector := make([]float32, 0, len(b)/4)
	for ; len(b) >= 4; b = b[4:] {
		vector = append(vector, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return vector
}

// fallback remembers for a while that the vectorizer could not be used. Its mutex guards until.
type fallback struct {
	mu    sync.Mutex
	until time.Time
	told  sync.Once
}

const fallbackTime = 30 * time.Second

func (f *fallback) active() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.until)
}

func (f *fallback) remember(tell func()) {
	f.mu.Lock()
	f.until = time.Now().Add(fallbackTime)
	f.mu.Unlock()
	f.told.Do(tell)
}
