package weaviate

import (
	"context"
	"fmt"
)

// Page is the newest messages of one role in one chat, newest first.
type Page struct {
	Messages []Message
	Complete bool // reaches back to the first message
}

// slack is how many rows beyond those wanted are fetched, so that a run of equal timestamps at the edge
// seldom costs a second round trip.
const slack = 8

// Recent returns at least the n newest messages of each role, or all there are: one request for all roles.
//
// The server sorts by one criterion, so a page may cut messages with equal timestamps anywhere. The last
// timestamp of a full page is therefore left out, and where too little remains a larger page is fetched.
func (c *Client) Recent(ctx context.Context, chat string, roles []string, n int) ([]Page, error) {
	f, err := c.searchFacts(ctx, c.cfg.Message.Class, false)
	if err != nil {
		return nil, err
	}
	pages := make([]Page, len(roles))
	todo := make([]int, len(roles)) // indexes into roles
	for i := range todo {
		todo[i] = i
	}
	for limit := min(n+slack, maxRows); len(todo) > 0; limit = min(limit*4, maxRows) {
		queries := make([]string, len(todo))
		for i, r := range todo {
			queries[i] = c.recentQuery(f, chat, roles[r], limit)
		}
		answers, err := c.askAll(ctx, c.cfg.Message.Class, queries)
		if err != nil {
			return nil, err
		}
		again := todo[:0]
		for i, r := range todo {
			messages, err := c.messages(answers[i], chat, roles[r:r+1])
			if err != nil {
				return nil, err
			}
			complete := len(answers[i]) < limit
			if !complete {
				messages = withoutLastTimestamp(messages)
			}
			if !complete && len(messages) < n && limit < maxRows {
				again = append(again, r)
			}
			pages[r] = Page{Messages: messages, Complete: complete}
		}
		todo = again
	}
	return pages, nil
}

func (c *Client) recentQuery(f *facts, chat, role string, limit int) string {
	m := c.cfg.Message
	return c.get(m.Class, f, []string{
		"where:" + combine("And", equal(m.ChatID, chat), equal(m.Role, role)),
		fmt.Sprintf("sort:[{path:[%s],order:desc}]", quote(m.CreatedAt)),
		fmt.Sprintf("limit:%d", limit),
	}, m.ChatID, m.Role, m.Content, m.CreatedAt, "_additional{id}")
}

func withoutLastTimestamp(newestFirst []Message) []Message {
	n := len(newestFirst)
	for n > 0 && newestFirst[n-1].CreatedAt.Equal(newestFirst[len(newestFirst)-1].CreatedAt) {
		n--
	}
	return newestFirst[:n]
}
