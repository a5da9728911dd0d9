package weaviate

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/weaviate/weaviate/entities/models"
)

// proposal chooses properties of a class by what they are called and what type they have, each at most once.
type proposal struct {
	class *models.Class
	taken []string
}

// choose takes the configured property if it fits, else the first that is called one of the names; "" if none fits.
func (p *proposal) choose(configured string, types []string, names ...string) string {
	left := p.left(types)
	i := slices.Index(left, configured)
	for _, name := range names {
		if i >= 0 {
			break
		}
		i = slices.IndexFunc(left, func(p string) bool { return strings.ToLower(strings.ReplaceAll(p, "_", "")) == name })
	}
	if i < 0 {
		return ""
	}
	p.taken = append(p.taken, left[i])
	return left[i]
}

// left are the properties of one of the types that were not chosen.
func (p *proposal) left(types []string) (names []string) {
	for _, o := range p.class.Properties {
		if slices.Contains(types, strings.Join(o.DataType, ",")) && !slices.Contains(p.taken, o.Name) {
			names = append(names, o.Name)
		}
	}
	return names
}

// chatNames are what people call the chat of a message, the most telling first.
func chatNames() []string {
	return []string{
		"chatid", "conversationid", "sessionid", "threadid", "dialogid", "chat", "conversation", "session", "thread", "roomid", "channelid",
		"contactid", "userid", "username", "user", "phonenumber", "phone",
	}
}

// proposeMessageFields is a setting that fits the class of messages; "" if none was found.
func (c *Client) proposeMessageFields(ctx context.Context) string {
	schema, err := c.schemaOf(ctx, c.cfg.Message.Class)
	if err != nil {
		return ""
	}
	m, p := c.cfg.Message, proposal{class: schema}
	chat := p.choose(m.ChatID, []string{"text", "uuid", "int"}, chatNames()...)
	role := p.choose(m.Role, []string{"text"}, "role", "sender", "speaker", "author", "sendertype", "senderrole", "from", "direction", "messagetype", "type")
	content := p.choose(m.Content, []string{"text"}, "content", "message", "text", "body", "messagetext", "messagecontent", "msg")
	times := []string{"date", "int", "number", "text"}
	at := p.choose(m.CreatedAt, times,
		"createdat", "timestamp", "time", "datetime", "sentat", "date", "ts", "created", "sent", "createdtime", "creationtime", "messagetime")
	if chat == "" || role == "" || content == "" {
		return ""
	}
	setting := "HEARTH_MESSAGE_FIELDS=" + strings.Join([]string{chat, role, content, cmp.Or(at, CreationTime)}, ",")
	if others := p.left(times); at == "" && len(others) > 0 {
		setting += "; if one of these properties has the message's time, put it in place of " + CreationTime + ": " + strings.Join(others, ", ")
	}
	return setting
}

// proposeMuteFields is a setting that fits the class of mutes; "" if none was found.
func (c *Client) proposeMuteFields(ctx context.Context) string {
	schema, err := c.schemaOf(ctx, c.cfg.Mute.Class)
	if err != nil {
		return ""
	}
	u, p := c.cfg.Mute, proposal{class: schema}
	fields := []string{
		p.choose(u.ChatID, []string{"text", "uuid", "int"}, chatNames()...),
		p.choose(u.Muted, []string{"boolean"}, "muted", "ismuted", "mute", "silenced", "silent", "paused", "ispaused", "disabled"),
	}
	if slices.Contains(fields, "") {
		return ""
	}
	if until := p.choose(u.Until, []string{"date"}, "muteduntil", "until", "silentuntil", "pauseduntil", "expiresat"); until != "" {
		fields = append(fields, until)
	}
	return "HEARTH_MUTE_FIELDS=" + strings.Join(fields, ",")
}

// proposeRoles sorts stored values to the two sides: as they are configured, else by what people call them. It is "" if one side
// has none, or if nothing is new.
func proposeRoles(counts map[string]int, user, assistant []string) string {
	names := [][]string{
		{"user", "human", "customer", "client", "visitor", "contact", "in", "inbound", "incoming"},
		{"assistant", "ai", "bot", "agent", "model", "chatbot", "system_bot", "out", "outbound", "outgoing"},
	}
	var sides [2][]string
	known := [][]string{user, assistant}
	isNew := false
	for _, value := range sortedKeys(counts) {
		if i := slices.IndexFunc(known, func(side []string) bool { return slices.Contains(side, value) }); i >= 0 {
			sides[i] = append(sides[i], value)
			continue
		}
		if i := slices.IndexFunc(names, func(side []string) bool { return slices.Contains(side, strings.ToLower(value)) }); i >= 0 {
			sides[i] = append(sides[i], value)
			isNew = true
		}
	}
	if !isNew || len(sides[0]) == 0 || len(sides[1]) == 0 {
		return ""
	}
	return strings.Join(sides[0], "|") + "," + strings.Join(sides[1], "|")
}
