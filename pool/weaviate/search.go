package weaviate

import (
	"context"
	"encoding/json"
	"fmt"
)

// Mode is how relevance is measured.
type Mode string

// The modes. Auto is Hybrid with a vector, else NearText where the class has a vectorizer, else BM25.
const (
	Auto       Mode = "auto"
	BM25       Mode = "bm25"
	NearText   Mode = "near_text"
	NearVector Mode = "near_vector"
	Hybrid     Mode = "hybrid"
)

// Query asks for the messages of one chat that are relevant to a text.
type Query struct {
	Chat   string
	Text   string
	Mode   Mode
	Vector []float32
	Roles  []string
	Count  int // messages wanted in all
}

// Scored is a message and how relevant it is: higher is better, comparable within one answer.
type Scored struct {
	Message
	Score float64
}

// Search returns up to q.Count messages, best first, from one search over all roles.
func (c *Client) Search(ctx context.Context, q Query) ([]Scored, error) {
	f, err := c.searchFacts(ctx, c.cfg.Message.Class, q.Mode == Auto && len(q.Vector) == 0)
	if err != nil {
		return nil, err
	}
	if q.Mode == Auto {
		q.Mode = f.autoMode(q)
	}
	p := c.cfg.Message
	for limit := q.Count; ; limit = min(limit*4, maxRows) {
		rows, err := c.ask(ctx, p.Class, c.searchQuery(f, q, limit))
		if err != nil {
			return nil, err
		}
		found := make([]Scored, 0, len(rows))
		for _, r := range rows {
			if !c.belongs(r, q.Chat, q.Roles) {
				continue
			}
			m, err := c.message(r)
			if err != nil {
				return nil, err
			}
			found = append(found, Scored{Message: m, Score: score(q.Mode, r)})
		}
		if len(found) >= q.Count || len(rows) < limit || limit == maxRows {
			return found[:min(len(found), q.Count)], nil
		}
	}
}

func score(m Mode, r row) float64 {
	if m == NearText || m == NearVector {
		return 1 - r.number("distance")
	}
	return r.number("score")
}

func (c *Client) searchQuery(f *facts, q Query, limit int) string {
	p := c.cfg.Message
	target := ""
	if c.cfg.Vector != "" {
		target = ",targetVectors:" + quoteAll([]string{c.cfg.Vector})
	}
	vector, _ := json.Marshal(q.Vector) // a []float32 from JSON is always finite
	measure := "score"
	var search string
	switch q.Mode {
	case NearText:
		search, measure = fmt.Sprintf("nearText:{concepts:%s%s}", quoteAll([]string{q.Text}), target), "distance"
	case NearVector:
		search, measure = fmt.Sprintf("nearVector:{vector:%s%s}", vector, target), "distance"
	case Hybrid:
		given := ""
		if len(q.Vector) > 0 {
			given = fmt.Sprintf(",vector:%s", vector)
		}
		search = fmt.Sprintf("hybrid:{query:%s,properties:%s%s%s}", quote(q.Text), quoteAll([]string{p.Content}), given, target)
	default:
		search = fmt.Sprintf("bm25:{query:%s,properties:%s}", quote(q.Text), quoteAll([]string{p.Content}))
	}
	roles := make([]string, len(q.Roles))
	for i, r := range q.Roles {
		roles[i] = equal(p.Role, r)
	}
	return c.get(p.Class, f, []string{
		search,
		"where:" + combine("And", equal(p.ChatID, q.Chat), combine("Or", roles...)),
		fmt.Sprintf("limit:%d", limit),
	}, p.ChatID, p.Role, p.Content, p.CreatedAt, "_additional{id "+measure+"}")
}
