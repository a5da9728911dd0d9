package sidecar

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/protobuf/proto"

	"hearth/cache"
	"hearth/client/wire"
	"hearth/internal/testing/testnet"
	"hearth/pool"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
	"hearth/sidecar/chat"
)

// BenchmarkMiss compares what a miss costs with what its calls to the upstream cost. The bare rounds send the requests that Hearth
// has sent, side by side as Hearth does, over a connection that is open already, and read the answers without decoding them.
func BenchmarkMiss(b *testing.B) {
	x := newMissBench(b)
	noCache := cache.Directives{NoCache: true}
	for _, one := range []struct {
		name string
		miss func(context.Context) error
	}{
		{"history", func(ctx context.Context) error {
			_, err := x.service.History(ctx, "chat", cache.View{Messages: 10, Full: 5}, noCache)
			return err
		}},
		{"history-200", func(ctx context.Context) error {
			_, err := x.service.History(ctx, "chat", cache.View{Messages: 200, Full: 5}, noCache)
			return err
		}},
		{"relevant", func(ctx context.Context) error {
			_, err := x.service.Relevant(ctx, weaviate.Query{Chat: "chat", Text: "an invoice", Mode: weaviate.Auto, Roles: []wire.Role{"user", "assistant"}, Count: 5}, noCache)
			return err
		}},
		{"mute", func(ctx context.Context) error {
			_, err := x.service.Mute(ctx, "chat", noCache)
			return err
		}},
		{"odoo", func(ctx context.Context) error {
			_, err := x.service.Read(ctx, odoo.Call{Model: "res.partner", Method: "search_read"}, noCache)
			return err
		}},
		{"append", func(ctx context.Context) error {
			_, err := x.service.Append(ctx, "chat", chat.Draft{Messages: []wire.NewMessage{{Role: "user", Content: "hello"}}})
			return err
		}},
	} {
		if err := one.miss(b.Context()); err != nil { // connects
			b.Fatal(err)
		}
		x.upstream.record()
		if err := one.miss(b.Context()); err != nil {
			b.Fatal(err)
		}
		requests := x.upstream.recorded()
		b.Run(one.name+"/bare", func(b *testing.B) {
			measured(b, func() { x.sendAll(b, requests) })
		})
		b.Run(one.name+"/hearth", func(b *testing.B) {
			measured(b, func() {
				if err := one.miss(b.Context()); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// measured also reports the time of both processors, which depends less on what else the machine does.
func measured(b *testing.B, do func()) {
	b.ReportAllocs()
	before := processorTime()
	for b.Loop() {
		do()
	}
	b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// missBench is a service before an upstream that answers at once.
type missBench struct {
	service  *chat.Service
	upstream *cannedUpstream
	grpc     *http.Transport
	rest     *http.Transport
}

func newMissBench(b *testing.B) *missBench {
	b.Helper()
	x := &missBench{upstream: newCannedUpstream(b), grpc: &http.Transport{Protocols: new(http.Protocols)}, rest: &http.Transport{}}
	x.grpc.Protocols.SetUnencryptedHTTP2(true)
	b.Cleanup(x.grpc.CloseIdleConnections)
	b.Cleanup(x.rest.CloseIdleConnections)
	s, err := testnet.Serve(x.upstream, testnet.Config{HTTP2: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	poolOf := func(name string, grpc bool) *pool.Pool {
		p, err := pool.New(pool.Config{Name: name, URL: s.URL, GRPC: grpc})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(p.Close)
		return p
	}
	w, err := weaviate.New(weaviate.Config{
		REST: poolOf("weaviate", false), GRPC: poolOf("weaviate", true),
		Message: weaviate.MessageClass{Class: "Message", ChatID: "chat_id", Role: "role", Content: "content", CreatedAt: "created_at"},
		Mute:    weaviate.MuteClass{Class: "ChatStatus", ChatID: "chat_id", Muted: "muted", Until: "muted_until"},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(w.Close)
	o, err := odoo.New(odoo.Config{Pool: poolOf("odoo", false), DB: "demo", Key: "key", Lang: "en_US", Protocol: odoo.JSON2})
	if err != nil {
		b.Fatal(err)
	}
	memory, err := cache.New(cache.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(memory.Close)
	cfg := chat.Config{Weaviate: w, Odoo: o, Cache: memory, Policies: map[cache.Resource]cache.Policy{}}
	for _, r := range cache.Resources() {
		cfg.Policies[r] = cache.Policy{Fresh: time.Hour}
	}
	if x.service, err = chat.New(cfg); err != nil {
		b.Fatal(err)
	}
	return x
}

// sendAll sends requests side by side and reads their answers.
func (x *missBench) sendAll(b *testing.B, requests []sentRequest) {
	var g sync.WaitGroup
	for _, r := range requests {
		g.Go(func() {
			transport := x.rest
			if strings.HasPrefix(r.url, "http") && r.http2 {
				transport = x.grpc
			}
			req, err := http.NewRequestWithContext(b.Context(), r.method, r.url, bytes.NewReader(r.body))
			if err != nil {
				b.Error(err)
				return
			}
			req.Header = r.header
			resp, err := transport.RoundTrip(req)
			if err != nil {
				b.Error(err)
				return
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
				b.Error(resp.StatusCode, err)
			}
		})
	}
	g.Wait()
}

// cannedUpstream is a Weaviate and an Odoo whose answers are written beforehand.
type cannedUpstream struct {
	pages map[string][]byte // of a search, by what its request holds
	odoo  []byte

	mu        sync.Mutex
	recording bool          // guarded by mu
	requests  []sentRequest // guarded by mu
}

// sentRequest is a request as it came.
type sentRequest struct {
	method, url string
	http2       bool
	header      http.Header
	body        []byte
}

func newCannedUpstream(b *testing.B) *cannedUpstream {
	b.Helper()
	u := &cannedUpstream{pages: map[string][]byte{}}
	for _, role := range []string{"user", "assistant"} {
		u.pages[role] = grpcFrame(b, messageRows(role, 58))
		u.pages[role+"-200"] = grpcFrame(b, messageRows(role, 208))
	}
	u.pages["relevant"] = grpcFrame(b, messageRows("user", 5))
	u.pages["mute"] = grpcFrame(b, &pb.SearchReply{Results: []*pb.SearchResult{searchResult("m", map[string]*pb.Value{
		"chat_id": text("chat"), "muted": {Kind: &pb.Value_BoolValue{BoolValue: true}},
	})}})
	partners := make([]string, 40)
	for i := range partners {
		partners[i] = fmt.Sprintf(`{"id": %d, "name": "Partner %d", "email": "partner%d@example.com", "phone": false, "city": "Berlin"}`, i, i, i)
	}
	u.odoo = []byte("[" + strings.Join(partners, ", ") + "]")
	return u
}

func text(s string) *pb.Value { return &pb.Value{Kind: &pb.Value_TextValue{TextValue: s}} }

func searchResult(id string, fields map[string]*pb.Value) *pb.SearchResult {
	return &pb.SearchResult{
		Properties: &pb.PropertiesResult{NonRefProps: &pb.Properties{Fields: fields}}, Metadata: &pb.MetadataResult{Id: id},
	}
}

// messageRows are n rows of one role of one chat, the newest first.
func messageRows(role string, n int) *pb.SearchReply {
	reply := &pb.SearchReply{}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		reply.Results = append(reply.Results, searchResult(fmt.Sprintf("01890a5d-ac96-774b-bcce-%012d", i), map[string]*pb.Value{
			"chat_id": text("chat"), "role": text(role), "content": text(strings.Repeat("some words of a message ", 5)),
			"created_at": {Kind: &pb.Value_DateValue{DateValue: at.Add(-time.Duration(i) * time.Minute).Format(time.RFC3339Nano)}},
		}))
	}
	return reply
}

func grpcFrame(b *testing.B, m proto.Message) []byte {
	b.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...) //nolint:gosec // small
}

func (u *cannedUpstream) record() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.recording, u.requests = true, nil
}

func (u *cannedUpstream) recorded() []sentRequest {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.recording = false
	return u.requests
}

func (u *cannedUpstream) note(r *http.Request, body []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.recording {
		u.requests = append(u.requests, sentRequest{r.Method, "http://" + r.Host + r.URL.Path, r.ProtoMajor == 2, r.Header, body})
	}
}

func (u *cannedUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	u.note(r, body)
	switch {
	case strings.HasSuffix(r.URL.Path, "/Search"):
		w.Header().Set("Content-Type", "application/grpc+proto")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(u.page(body))
		w.Header().Set("Grpc-Status", "0")
	case strings.HasPrefix(r.URL.Path, "/v1/schema/"):
		_, _ = io.WriteString(w, `{"class":"Message","properties":[{"name":"chat_id","dataType":["text"],"tokenization":"field"},
			{"name":"role","dataType":["text"]},{"name":"content","dataType":["text"]},{"name":"created_at","dataType":["date"]},
			{"name":"muted","dataType":["boolean"]},{"name":"muted_until","dataType":["date"]}]}`)
	case r.URL.Path == "/v1/batch/objects":
		var batch struct{ Objects []struct{ ID string } }
		if json.Unmarshal(body, &batch) != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `[{"class":"Message","id":%q,"properties":{"content":"hello"},"result":{"status":"SUCCESS"}}]`, batch.Objects[0].ID)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(u.odoo)
	}
}

func (u *cannedUpstream) page(search []byte) []byte {
	has := func(s string) bool { return bytes.Contains(search, []byte(s)) }
	size := ""
	if bytes.Contains(search, []byte{0xd0, 0x01}) { // 208 as a varint
		size = "-200"
	}
	switch {
	case has("ChatStatus"):
		return u.pages["mute"]
	case has("invoice"):
		return u.pages["relevant"]
	case has("assistant"):
		return u.pages["assistant"+size]
	}
	return u.pages["user"+size]
}
