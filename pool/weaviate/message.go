package weaviate

import (
	"slices"
	"time"
)

// Message is one message of a chat.
type Message struct {
	ID        string // the object's UUID
	Role      string
	Content   string
	CreatedAt time.Time // UTC
}

// messages reads rows and leaves out those of another chat or role: with tokenization "word" the chat 1-1
// also matches 1-12, and even "field" matches a chat_id that differs in the white space around it.
func (c *Client) messages(rows []row, chat string, roles []string) ([]Message, error) {
	out := make([]Message, 0, len(rows))
	for _, r := range rows {
		if !c.belongs(r, chat, roles) {
			continue
		}
		m, err := c.message(r)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func (c *Client) message(r row) (Message, error) {
	p := c.cfg.Message
	at, err := r.time(p.CreatedAt)
	return Message{ID: r.id(), Role: r.text(p.Role), Content: r.text(p.Content), CreatedAt: at}, err
}

func (c *Client) belongs(r row, chat string, roles []string) bool {
	p := c.cfg.Message
	if r.text(p.ChatID) == chat && slices.Contains(roles, r.text(p.Role)) {
		return true
	}
	c.warnForeign(p.Class)
	return false
}

func (c *Client) warnForeign(class string) {
	c.warnedForeign.Do(func() {
		c.cfg.Logger.Warn("searches match other chats' objects, which are left out: chat_id and role should have tokenization \"field\"", "class", class)
	})
}
