package weaviate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"golang.org/x/sync/errgroup"

	"hearth/client/wire"
	"hearth/internal/guard"
	"hearth/pool"
)

// Page is the newest messages of one role in one chat, newest first.
type Page struct {
	Messages []wire.Message
	Complete bool // reaches back to the first message
}

// overfetch is how many rows beyond those wanted are fetched, so that a run of equal timestamps at the edge
// seldom costs a second round trip.
const overfetch = 8

// Recent returns at least the need newest messages of each role, or all there are, and about want if one answer has room
// for them: one search for each role, at the same time. The chat is named as [Client.MessageChat] does.
func (c *Client) Recent(ctx context.Context, chat string, roles []wire.Role, need, want int) ([]Page, error) {
	class, err := c.message.use(ctx)
	if err != nil {
		return nil, err
	}
	pages, fits := make([]Page, len(roles)), make([]int, len(roles))
	var millis, seconds atomic.Bool // the chat has times in milliseconds, in seconds
	g, ctx := errgroup.WithContext(ctx)
	if class.ranges && (class.time == intTime || class.time == numberTime) {
		g.Go(func() error {
			return guard.Do(func() error {
				found, err := c.hasSeconds(ctx, class, chat, roles)
				seconds.Store(found)
				return err
			})
		})
	}
	for i, role := range roles {
		g.Go(func() error {
			return guard.Do(func() (err error) {
				s := scan{client: c, class: class, chat: chat, role: role, need: need}
				s.times = times{class: class, property: c.cfg.Message.CreatedAt}
				pages[i], fits[i], err = s.newest(ctx, want)
				if s.times.unit == time.Millisecond {
					millis.Store(true)
				}
				return err
			})
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if millis.Load() && seconds.Load() {
		return nil, wrongClass("class %s: property %q %v", class.name, c.cfg.Message.CreatedAt, errMixedUnits)
	}
	if least := slices.Min(fits); least < need {
		return nil, tooLarge("num_messages", least, c.cfg.GRPC.MaxAnswer())
	}
	return pages, nil
}

// hasSeconds says whether messages of the chat have times in seconds. The server takes such times for older than all times in
// milliseconds, so pages of the newest messages may not show them.
func (c *Client) hasSeconds(ctx context.Context, class *classInfo, chat string, roles []wire.Role) (bool, error) {
	m := c.cfg.Message
	const some = 10 // with tokenization "word" messages of other chats may be among them
	rows, _, err := c.askUpTo(ctx, class, some, &pb.SearchRequest{
		Filters: all(
			class.chatID.filter(m.ChatID, chat), anyOf(m.Role, c.stored(roles...)),
			than(m.CreatedAt, pb.Filters_OPERATOR_GREATER_THAN, class.time, 0), than(m.CreatedAt, pb.Filters_OPERATOR_LESS_THAN, class.time, mostSeconds),
		),
		Properties: &pb.PropertiesRequest{NonRefProperties: []string{m.ChatID}}, Metadata: &pb.MetadataRequest{Uuid: true},
	})
	return slices.ContainsFunc(rows, func(r row) bool { return r.chat(m.ChatID) == chat }), err
}

// than compares a property with an epoch.
func than(property string, operator pb.Filters_Operator, kind timeKind, epoch int64) *pb.Filters {
	f := &pb.Filters{Operator: operator, Target: target(property), TestValue: &pb.Filters_ValueInt{ValueInt: epoch}}
	if kind == numberTime {
		f.TestValue = &pb.Filters_ValueNumber{ValueNumber: float64(epoch)}
	}
	return f
}

// tooLarge is the error of an answer that is too large. fits is the largest value of the field for which the answer is not.
func tooLarge(field string, fits int, most int64) *Error {
	detail := "not even one message has room"
	if fits > 0 {
		detail = fmt.Sprintf("%s may be at most %d here", field, fits)
	}
	return &Error{
		Status: http.StatusUnprocessableEntity, Kind: TooLarge,
		Message: fmt.Sprintf("an answer may have %d bytes (a quarter of HEARTH_CACHE_BYTES): %s", most, detail),
	}
}

// scan goes back through the messages of one role in one chat, page by page.
//
// The server sorts by one criterion, so a page may cut messages with equal timestamps anywhere. The last timestamp of a
// page that is not the last is therefore not counted until the next page has come.
type scan struct {
	client *Client
	class  *classInfo
	chat   string
	role   wire.Role
	need   int

	times    times           // of all pages
	messages []wire.Message  // newest first
	bytes    int64           // of messages
	seen     map[string]bool // their ids; nil until the second page
	rows     int             // that came, those of other chats included
	edge     time.Time       // of the last row that came
	complete bool

	until  value // the time from which the next page goes back; of no kind: from the newest row
	offset int   // rows from there on that came already
}

// newest scans until it has the messages that are needed. If they do not fit into one answer, it returns no messages; fits is how
// many would fit.
func (s *scan) newest(ctx context.Context, want int) (page Page, fits int, err error) {
	most := s.client.cfg.GRPC.MaxAnswer()
	limit := want + overfetch
	for {
		depth := s.client.depth.fit(s.offset + limit)
		limit = depth - s.offset
		if limit <= 0 || s.rows >= mostRows {
			return Page{}, s.need, cutShort(s.class.name)
		}
		rows, err := s.page(ctx, limit)
		if e, ok := errors.AsType[*pool.TooLargeError](err); ok {
			if limit == 1 {
				return Page{}, s.room(s.messages[:s.whole()], most), nil
			}
			limit = smaller(limit, e)
			continue
		}
		if e, ok := errors.AsType[*Error](err); ok && e.tooDeep && s.client.depth.refuse(depth) {
			continue
		}
		if err != nil {
			return Page{}, s.need, err
		}
		s.client.depth.took(depth)
		if err := s.add(rows, limit); err != nil {
			return Page{}, s.need, err
		}
		whole := s.messages[:s.whole()]
		switch {
		case s.complete, len(whole) >= s.need:
			return s.cut(whole, most)
		case s.bytes > mostRun*most || s.bytes > most && !s.hasRoom(most):
			return Page{}, s.room(whole, most), nil
		}
		if s.bytes < most/4 { // rows of others, or of one timestamp, fill the pages
			limit = min(4*limit, mostRows)
		}
	}
}

// smaller returns how many rows to ask for, after limit rows did not fit into one answer.
func smaller(limit int, e *pool.TooLargeError) int {
	if e.Bytes <= 0 {
		return max(1, limit/2)
	}
	return max(1, min(limit-1, int(float64(limit)*0.75*float64(e.Most)/float64(e.Bytes))))
}

func (s *scan) page(ctx context.Context, limit int) ([]row, error) {
	m := s.client.cfg.Message
	where := all(s.class.chatID.filter(m.ChatID, s.chat), anyOf(m.Role, s.client.stored(s.role)))
	if before, ok := atMost(m.CreatedAt, s.until); ok {
		where.Filters = append(where.Filters, before)
	}
	return s.client.ask(ctx, s.class, &pb.SearchRequest{
		Filters: where, SortBy: []*pb.SortBy{{Path: []string{m.CreatedAt}}}, Limit: uint32(limit), Offset: uint32(s.offset), //nolint:gosec // at most mostRows
		Properties: s.client.messageProperties(s.class), Metadata: &pb.MetadataRequest{Uuid: true, CreationTimeUnix: s.class.time == creationTime},
	})
}

// add adds a page of rows, and sets where the next page begins.
func (s *scan) add(rows []row, limit int) error {
	messages, err := s.client.messagesOf(&s.times, rows, s.chat, []wire.Role{s.role})
	if err != nil {
		return err
	}
	s.keep(messages)
	s.rows += len(rows)
	s.offset += len(rows)
	s.complete = len(rows) < limit
	if s.complete {
		return nil
	}
	property := s.client.cfg.Message.CreatedAt
	if s.edge, err = s.times.read(rows[len(rows)-1]); err != nil || !s.class.ranges {
		return err
	}
	last := rows[len(rows)-1].value(property)
	if _, ok := atMost(property, last); !ok { // a row without a time: those before it have none either
		return nil
	}
	if s.until != last {
		s.until, s.offset = last, 0
		s.until.text = strings.Clone(last.text) // the answer need not stay in memory for it
		for _, r := range slices.Backward(rows) {
			if r.value(property) != last {
				break
			}
			s.offset++
		}
	}
	return nil
}

// keep adds the messages of a page, except those that came before: a row written meanwhile moves others to the next page.
func (s *scan) keep(page []wire.Message) {
	if s.seen == nil {
		s.seen = make(map[string]bool, len(page))
	}
	page = slices.DeleteFunc(page, func(m wire.Message) bool {
		again := s.seen[m.ID]
		s.seen[m.ID] = true
		return again
	})
	if s.messages == nil {
		s.messages = page
	} else {
		s.messages = append(s.messages, page...)
	}
	for _, m := range page {
		s.bytes += bytesOf(m)
	}
}

// atMost finds the rows whose time is that of value or before it.
func atMost(property string, v value) (*pb.Filters, bool) {
	f := &pb.Filters{Operator: pb.Filters_OPERATOR_LESS_THAN_EQUAL, Target: target(property)}
	switch v.kind {
	case dateKind:
		f.TestValue = &pb.Filters_ValueText{ValueText: v.text}
	case intKind:
		f.TestValue = &pb.Filters_ValueInt{ValueInt: v.integer}
	case numberKind:
		f.TestValue = &pb.Filters_ValueNumber{ValueNumber: v.number}
	default:
		return nil, false
	}
	return f, true
}

// whole is how many of the newest messages have no gap: every message of their timestamps has come.
func (s *scan) whole() int {
	n := len(s.messages)
	for !s.complete && n > 0 && !s.messages[n-1].CreatedAt.After(s.edge) {
		n--
	}
	return n
}

// mostRun is how many times the bytes of an answer a page may have because its oldest messages have one time: such a run is not cut.
const mostRun = 2

// hasRoom says whether the messages that are needed fit into one answer, the rest of the oldest one's run aside.
func (s *scan) hasRoom(most int64) bool {
	n, _ := fitting(s.messages, most)
	return n >= s.need
}

// cut returns the messages that fit into one answer. If fewer fit than are needed, it returns no messages and how many fit.
func (s *scan) cut(whole []wire.Message, most int64) (Page, int, error) {
	n, uncut := fitting(whole, most)
	switch {
	case n == len(whole):
		return Page{Messages: whole, Complete: s.complete}, s.need, nil
	case uncut >= s.need:
		return Page{Messages: whole[:uncut]}, s.need, nil
	case n < s.need:
		return Page{}, uncut, nil
	}
	end, bytes := n, int64(0)
	for end < len(whole) && whole[end].CreatedAt.Equal(whole[n-1].CreatedAt) {
		end++
	}
	for _, m := range whole[:end] {
		bytes += bytesOf(m)
	}
	if bytes > mostRun*most {
		return Page{}, uncut, nil
	}
	return Page{Messages: whole[:end], Complete: s.complete && end == len(whole)}, s.need, nil
}

// room is how many of the newest messages fit into one answer, if not all that are needed fit.
func (s *scan) room(whole []wire.Message, most int64) int {
	_, uncut := fitting(whole, most)
	return min(uncut, s.need-1)
}

// fitting returns how many of the newest messages fit into one answer, and how many of those are a page. A page has every message
// of its oldest timestamp.
func fitting(whole []wire.Message, most int64) (n, uncut int) {
	for bytes := int64(0); n < len(whole) && bytes+bytesOf(whole[n]) <= most; n++ {
		bytes += bytesOf(whole[n])
	}
	uncut = n
	for uncut > 0 && uncut < len(whole) && whole[uncut-1].CreatedAt.Equal(whole[uncut].CreatedAt) {
		uncut--
	}
	return n, uncut
}
