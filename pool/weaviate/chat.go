package weaviate

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
)

// idKind is the type of the property that holds a chat's id.
type idKind int

const (
	textID idKind = iota
	uuidID
	intID
)

// ChatIDError is a chat id that the class cannot hold.
type ChatIDError struct{ Detail string }

func (e *ChatIDError) Error() string { return "weaviate: chat id " + e.Detail }

// MessageChat returns the one name of a chat in the class of messages, however the caller spells it. What cannot be the
// id of a chat there is a [ChatIDError].
func (c *Client) MessageChat(ctx context.Context, chat string) (string, error) {
	return c.message.chat(ctx, chat)
}

// KnownMessageChat is [Client.MessageChat] without a request. As long as the class is not known, and for what cannot be an id
// there, it returns the caller's spelling.
func (c *Client) KnownMessageChat(chat string) string {
	if class := c.message.peek(); class != nil {
		if name, err := class.chatID.name(chat); err == nil {
			return name
		}
	}
	return chat
}

// PossibleNames returns all names under which something of a chat may be cached: its spelling, and its name in each class. For a class
// that is not known yet, these are its names for every type of chat id. It sends no request. If neither class can hold the chat, the
// error is a [ChatIDError].
func (c *Client) PossibleNames(chat string) (names []string, err error) {
	names = []string{chat}
	refused := 0
	for _, l := range []*classLoader{c.message, c.mute} {
		kinds := []idKind{textID, uuidID, intID}
		class := l.peek()
		if class != nil && class.fault == nil {
			kinds = []idKind{class.chatID}
		}
		for _, k := range kinds {
			name, e := k.name(chat)
			switch {
			case e == nil && !slices.Contains(names, name):
				names = append(names, name)
			case e != nil && len(kinds) == 1:
				refused++
				err = e
			}
		}
	}
	if refused < 2 {
		err = nil
	}
	return names, err
}

// IsMessageChat says, without a request, that this is a chat's name as [Client.MessageChat] returns it.
func (c *Client) IsMessageChat(chat []byte) bool { return c.message.isName(chat) }

// IsMuteChat is IsMessageChat of the class of mutes.
func (c *Client) IsMuteChat(chat []byte) bool { return c.mute.isName(chat) }

func (l *classLoader) isName(chat []byte) bool {
	class := l.usable()
	return class != nil && class.chatID.isName(chat)
}

// MuteChat is MessageChat of the class of mutes.
func (c *Client) MuteChat(ctx context.Context, chat string) (string, error) {
	return c.mute.chat(ctx, chat)
}

func (l *classLoader) chat(ctx context.Context, chat string) (string, error) {
	class, err := l.use(ctx)
	if err != nil {
		return "", err
	}
	return class.chatID.name(chat)
}

// name is the one name of a chat: of a UUID in lower case with hyphens, of an int without needless zeros and sign.
func (k idKind) name(chat string) (string, error) {
	switch k {
	case uuidID:
		id, err := uuid.Parse(chat)
		if n := len(chat); err != nil || n != 36 && n != 32 {
			return "", &ChatIDError{"must be a UUID: 32 hex digits, with or without its hyphens"}
		}
		return id.String(), nil
	case intID:
		n, err := strconv.ParseInt(chat, 10, 64)
		if err != nil || strings.HasPrefix(chat, "+") || n < -mostInt || n > mostInt {
			return "", &ChatIDError{fmt.Sprintf("must be a whole number from -%d to %[1]d", int64(mostInt))}
		}
		return strconv.FormatInt(n, 10), nil
	case textID:
	}
	return chat, nil
}

// isName says whether name would return the chat as it is.
func (k idKind) isName(chat []byte) bool {
	switch k {
	case uuidID:
		for i, c := range chat {
			hyphen := i == 8 || i == 13 || i == 18 || i == 23
			digit := '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
			if hyphen && c != '-' || !hyphen && !digit {
				return false
			}
		}
		return len(chat) == 36
	case intID:
		n, err := strconv.ParseInt(string(chat), 10, 64)
		var digits [20]byte
		return err == nil && -mostInt <= n && n <= mostInt && bytes.Equal(strconv.AppendInt(digits[:0], n, 10), chat)
	case textID:
	}
	return true
}

// mostInt is how far whole numbers are exact on their way through Weaviate.
const mostInt = 1<<53 - 1

// stored is a chat's name as it is written.
func (k idKind) stored(name string) any {
	if k == intID {
		n, err := strconv.ParseInt(name, 10, 64)
		if err == nil {
			return n
		}
	}
	return name
}

// filter finds the rows of a chat.
func (k idKind) filter(property, name string) *pb.Filters {
	if n, ok := k.stored(name).(int64); ok {
		return &pb.Filters{Operator: pb.Filters_OPERATOR_EQUAL, Target: target(property), TestValue: &pb.Filters_ValueInt{ValueInt: n}}
	}
	return equal(property, name)
}

func equal(property, text string) *pb.Filters {
	return &pb.Filters{Operator: pb.Filters_OPERATOR_EQUAL, Target: target(property), TestValue: &pb.Filters_ValueText{ValueText: text}}
}

func target(property string) *pb.FilterTarget {
	return &pb.FilterTarget{Target: &pb.FilterTarget_Property{Property: property}}
}

func all(filters ...*pb.Filters) *pb.Filters {
	return &pb.Filters{Operator: pb.Filters_OPERATOR_AND, Filters: filters}
}

// anyOf finds the rows whose property has one of these texts.
func anyOf(property string, texts []string) *pb.Filters {
	filters := make([]*pb.Filters, len(texts))
	for i, text := range texts {
		filters[i] = equal(property, text)
	}
	if len(filters) == 1 {
		return filters[0]
	}
	return &pb.Filters{Operator: pb.Filters_OPERATOR_OR, Filters: filters}
}
