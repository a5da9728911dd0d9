package weaviate

import (
	"slices"
	"strconv"
	"strings"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"

	"hearth/client/wire"
)

// value is the value of a property. A row without the property has one of no kind.
func (r row) value(name string) value {
	for i := len(r.properties) - 1; i >= 0; i-- { // the last one counts, as in a map
		if p := &r.properties[i]; p.name == name {
			return p.value
		}
	}
	return value{}
}

// text returns a text, and whether it is one: nothing is an empty text.
func (r row) text(property string) (string, bool) {
	switch v := r.value(property); v.kind {
	case noKind, nullKind, textKind, stringKind:
		return v.text, true
	default:
		return "", false
	}
}

// chat returns the name of a row's chat; empty: it has none.
func (r row) chat(property string) string {
	switch v := r.value(property); v.kind {
	case uuidKind:
		return strings.ToLower(v.text)
	case intKind:
		return strconv.FormatInt(v.integer, 10)
	default:
		s, _ := r.text(property)
		return s
	}
}

// kind names the type of a value for people.
func (r row) kind(property string) string {
	switch r.value(property).kind {
	case noKind, nullKind:
		return "nothing"
	case textKind, stringKind:
		return "a text"
	case intKind, numberKind:
		return "a number"
	case boolKind:
		return "a boolean"
	case dateKind:
		return "a date"
	case uuidKind:
		return "a UUID"
	case listKind:
		return "a list"
	default:
		return "an object"
	}
}

// bytesOf estimates the size of a message, in memory and as JSON. In JSON a control character has six bytes.
func bytesOf(m wire.Message) int64 {
	const overhead = 96
	escaped := 0
	for i := range len(m.Content) {
		switch c := m.Content[i]; {
		case c < ' ':
			escaped += 5
		case c == '"' || c == '\\':
			escaped++
		}
	}
	return overhead + int64(len(m.ID)+len(m.Role)+len(m.Content)+escaped)
}

// messageProperties are what is read of a message.
func (c *Client) messageProperties(class *classInfo) *pb.PropertiesRequest {
	m := c.cfg.Message
	list := []string{m.ChatID, m.Role, m.Content}
	if class.time != creationTime {
		list = append(list, m.CreatedAt)
	}
	return &pb.PropertiesRequest{NonRefProperties: list}
}

// messagesOf reads rows, whose times must be of one form with those of earlier pages. It leaves out rows of another chat or
// role: with tokenization "word" the chat 1-1 also matches 1-12, and even "field" matches a chat_id that differs in the
// white space around it.
func (c *Client) messagesOf(times *times, rows []row, chat string, roles []wire.Role) ([]wire.Message, error) {
	m, class := c.cfg.Message, times.class
	out := make([]wire.Message, 0, len(rows))
	for _, r := range rows {
		at, err := times.read(r) // of all rows: those of other chats were sorted with them
		if err != nil {
			return nil, err
		}
		stored, isText := r.text(m.Role)
		role := c.roleOf(stored)
		if r.chat(m.ChatID) != chat || !isText || !slices.Contains(roles, role) {
			c.warnForeign(class.name)
			continue
		}
		content, isText := r.text(m.Content)
		if !isText {
			return nil, wrongClass("class %s: property %q is %s, not a text", class.name, m.Content, r.kind(m.Content))
		}
		out = append(out, wire.Message{ID: strings.Clone(r.id), Role: role, Content: strings.Clone(content), CreatedAt: at})
	}
	return out, nil
}

// roleOf is the role that a stored value stands for; empty: none.
func (c *Client) roleOf(stored string) wire.Role {
	switch m := c.cfg.Message; {
	case slices.Contains(m.User, stored):
		return wire.RoleUser
	case slices.Contains(m.Assistant, stored):
		return wire.RoleAssistant
	case stored == wire.RoleSystem: // stands as it is: no setting names it
		return wire.RoleSystem
	}
	return ""
}

// stored are the values that stand for the roles; a message is written with the first.
func (c *Client) stored(roles ...wire.Role) (values []string) {
	for _, role := range roles {
		switch role {
		case wire.RoleUser:
			values = append(values, c.cfg.Message.User...)
		case wire.RoleAssistant:
			values = append(values, c.cfg.Message.Assistant...)
		default:
			values = append(values, role)
		}
	}
	return values
}

func (c *Client) warnForeign(class string) {
	c.warnedForeign.Do(func() {
		c.cfg.Logger.Warn("searches match other chats' objects, which are left out: chat_id and role should have tokenization \"field\"", "class", class)
	})
}
