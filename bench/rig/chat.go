package rig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"hearth/bench/load"
	"hearth/client/wire"
	"hearth/internal/testing/lab"
)

const (
	chatID = "34600000000@c.us"
	turns  = 4
)

// storeChat stores a chat whose history is a reply of about 4 KB.
func (r *Rig) storeChat(ctx context.Context) error {
	begin := time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC)
	objects := []lab.Object{{Class: "ChatStatus", ID: id(0), Properties: map[string]any{"chat_id": chatID, "muted": false}}}
	for i := range turns {
		said := map[string]string{
			wire.RoleUser:      fmt.Sprintf("Where is parcel number %d of our order? It should have been here on day %d.", 1000+i, i),
			wire.RoleAssistant: fmt.Sprintf("Parcel number %d is in %s and comes tomorrow. You can follow it with the link that we have sent to you.", 1000+i, []string{"Ghent", "Lyon", "Porto", "Turin"}[i%4]),
		}
		for j, role := range []string{wire.RoleUser, wire.RoleAssistant} {
			objects = append(objects, lab.Object{Class: "Message", ID: id(1 + 2*i + j), Properties: map[string]any{
				"chat_id": chatID, "role": role, "content": said[role],
				"created_at": begin.Add(time.Duration(2*i+j) * time.Second).Format(time.RFC3339),
			}})
		}
	}
	body, err := json.Marshal(map[string]any{"objects": objects})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.Upstreams.WeaviateREST+"/v1/batch/objects", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("rig: store the chat: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || strings.Contains(string(answer), `"errors":{`)) {
		err = fmt.Errorf("rig: store the chat: %s %s", resp.Status, answer)
	}
	return err
}

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// Call is a request to Hearth as bytes.
type Call struct {
	Path    string
	Request []byte
}

// NamedCall is a call by the name that its numbers have.
type NamedCall struct {
	Name string
	Call Call
}

// Calls are the calls whose replies are held.
func Calls() []NamedCall {
	return []NamedCall{{"hit", History()}, {"held_preprocess", Preprocess()}}
}

// History asks for the chat's history.
func History() Call { return history("") }

// FreshHistory asks for the chat's history, and for what is held not to be used.
func FreshHistory() Call { return history(noCache) }

const noCache = "Cache-Control: no-cache\r\n"

func history(header string) Call {
	path := strings.Replace(wire.PathHistory, "{chat_id}", strings.ReplaceAll(chatID, "@", "%40"), 1) + "?num_messages=10&full_text_len=5"
	return Call{path, []byte("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + wire.HeaderToken + ": " + Token + "\r\n" + header + "\r\n")}
}

// Preprocess asks for all four parts of a preprocess.
func Preprocess() Call {
	return post(wire.PathPreprocess, "", wire.PreprocessRequest{
		ChatID: chatID, Text: "Where is my parcel number 1002?", RouteName: lab.OdooRoute, RelevantCount: 2, EnableOdoo: true, NumMessages: 10,
	})
}

// FreshRead asks for a few records of Odoo, and for what is held not to be used.
func FreshRead() Call {
	return post(wire.PathOdooCall, noCache, map[string]any{
		"model": "res.partner", "method": "search_read", "kwargs": map[string]any{"domain": []any{}, "fields": []string{"name", "email"}, "limit": 5},
	})
}

func post(path, header string, body any) Call {
	encoded, err := json.Marshal(body)
	if err != nil {
		panic(err) // text and numbers always encode
	}
	return Call{path, fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\n%s: %s\r\n%sContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n%s", path, wire.HeaderToken, Token, header, len(encoded), encoded)}
}

// Reply is what Hearth answers to a call.
type Reply struct {
	Header http.Header
	Body   []byte
	Varies load.Span // of Body
	Size   int       // bytes of the whole reply
}

// Ask makes a call twice over one connection and returns the second reply, which must be held.
func (h *Hearth) Ask(ctx context.Context, call Call) (reply Reply, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", h.Socket)
	if err != nil {
		return reply, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return reply, err
	}
	count := &counted{Reader: conn}
	buffered := bufio.NewReader(count)
	for range 2 {
		count.n = 0
		if reply, err = Exchange(conn, buffered, call); err != nil {
			return reply, fmt.Errorf("%s: %w", call.Path, err)
		}
		reply.Size = count.n
	}
	if !held(reply) {
		return reply, fmt.Errorf("%s is not held: %v\n%s", call.Path, reply.Header, reply.Body)
	}
	reply.Varies = timings(reply.Body)
	return reply, nil
}

// held says whether nothing had to be loaded. A preprocess says so of each part, in its body.
func held(reply Reply) bool {
	if status := reply.Header.Get("Cache-Status"); status != "" {
		return strings.HasPrefix(status, "hearth; hit")
	}
	var body wire.Preprocess
	if err := json.Unmarshal(reply.Body, &body); err != nil {
		return false
	}
	for _, part := range []string{wire.PartMute, wire.PartRelevant, wire.PartOdoo, wire.PartHistory} {
		if body.Cache[part] != "hit" {
			return false
		}
	}
	return true
}

// timings finds what a preprocess says about how long it took, which differs from reply to reply.
func timings(body []byte) load.Span {
	const name = `"timings":{`
	at := bytes.Index(body, []byte(name))
	if at < 0 {
		return load.Span{}
	}
	begin := at + len(name)
	return load.Span{Begin: begin, End: begin + bytes.IndexByte(body[begin:], '}')}
}

// Exchange makes a call over a connection and reads the reply from buffered, which reads the connection. Reply.Size and Reply.Varies are
// not known.
func Exchange(conn net.Conn, buffered *bufio.Reader, call Call) (reply Reply, err error) {
	if _, err := conn.Write(call.Request); err != nil {
		return reply, err
	}
	resp, err := http.ReadResponse(buffered, nil)
	if err != nil {
		return reply, err
	}
	defer resp.Body.Close()
	reply.Header = resp.Header
	reply.Body, err = io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s", resp.Status, reply.Body)
	}
	return reply, err
}

// counted counts the bytes that are read.
type counted struct {
	io.Reader

	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}
