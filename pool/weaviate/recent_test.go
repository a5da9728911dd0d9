package weaviate

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"pgregory.net/rapid"

	"hearth/client/wire"
	"hearth/internal/testing/weaviatetest"
	"hearth/pool"
)

// schemaWithTime is Hearth's own class of messages, whose time is of another type.
func schemaWithTime(kind string) string {
	return strings.Replace(ownSchema, `"name":"created_at","dataType":["date"]`, `"name":"created_at","dataType":["`+kind+`"]`, 1) + "}"
}

// pager is a class of messages behind clients whose answers may have more or fewer bytes.
type pager struct {
	server  *weaviatetest.Server
	clients []*Client // the first has room for everything
}

func newPager(t *testing.T, schema string, maxResults int) *pager {
	p := &pager{server: weaviatetest.NewWith(weaviatetest.Config{MaxResults: maxResults})}
	p.server.MustAddClass(schema)
	for _, answers := range []*pool.Answers{nil, pool.NewAnswers(8_000, 32_000), pool.NewAnswers(2_500, 10_000)} {
		p.clients = append(p.clients, clientWith(t, p.server, testConfig(), answers, -1))
	}
	return p
}

// newestFirst are the messages of one role in the order in which a page has them, but for those of one time.
func newestFirst(all []wire.Message, role string) (list []wire.Message) {
	for _, m := range all {
		if m.Role == role {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b wire.Message) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return list
}

// check wants a page to be the newest of the messages: all that are needed, none of an edge left out.
func (p Page) check(t *rapid.T, all []wire.Message, need int) {
	switch n := len(p.Messages); {
	case n > len(all):
		t.Fatalf("%d messages of %d", n, len(all))
	case p.Complete && n != len(all):
		t.Fatalf("%d messages of %d are said to be all", n, len(all))
	case n < min(need, len(all)):
		t.Fatalf("%d messages of %d, where %d are needed", n, len(all), need)
	case n < len(all) && n > 0 && all[n].CreatedAt.Equal(all[n-1].CreatedAt):
		t.Fatalf("the run of %v is cut after %d messages", all[n].CreatedAt, n)
	}
	byID := func(a, b wire.Message) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(a.ID, b.ID))
	}
	got, want := slices.Clone(p.Messages), slices.Clone(all[:len(p.Messages)])
	if !slices.IsSortedFunc(got, func(a, b wire.Message) int { return b.CreatedAt.Compare(a.CreatedAt) }) {
		t.Fatalf("not newest first: %v", got)
	}
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
	if !slices.Equal(got, want) {
		t.Fatalf("got\n%v, want\n%v", got, want)
	}
}

// fitsOf reads how many messages the error says that there is room for.
func fitsOf(t *rapid.T, err error, field string) int {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != TooLarge || e.Retryable() || !strings.Contains(e.Message, "HEARTH_CACHE_BYTES") {
		t.Fatalf("got %v", err)
	}
	if strings.HasSuffix(e.Message, ": not even one message has room") {
		return 0
	}
	_, after, _ := strings.Cut(e.Message, ": "+field+" may be at most ")
	n, err := strconv.Atoi(strings.TrimSuffix(after, " here"))
	if err != nil || n < 1 {
		t.Fatalf("got %v", e)
	}
	return n
}

func TestRecentIsTheNewestMessagesHoweverTheyArePaged(t *testing.T) {
	unfiltered := func(kind string) string {
		return strings.Replace(schemaWithTime(kind), `"name":"created_at",`, `"name":"created_at","indexFilterable":false,`, 1)
	}
	for name, pagers := range map[string][]*pager{
		"by time":          {newPager(t, schemaWithTime("date"), 0), newPager(t, schemaWithTime("int"), 0), newPager(t, schemaWithTime("number"), 0)},
		"by place":         {newPager(t, schemaWithTime("text"), 0), newPager(t, unfiltered("date"), 0)},
		"a shallow server": {newPager(t, schemaWithTime("date"), 25), newPager(t, schemaWithTime("text"), 40)},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				p := rapid.SampledFrom(pagers).Draw(t, "class")
				ties := rapid.Bool().Draw(t, "ties")
				chat := uuid.NewString()
				var all []wire.Message
				var list []NewMessage
				at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
				for range rapid.SampledFrom([]int{0, 1, 3, 9, 20, 55}).Draw(t, "n") {
					if at = at.Add(time.Millisecond); ties && rapid.IntRange(0, 2).Draw(t, "tie") > 0 {
						at = at.Add(-time.Millisecond)
					}
					m := wire.Message{
						ID: uuid.NewString(), Role: rapid.SampledFrom([]string{"user", "user", "assistant"}).Draw(t, "role"),
						Content: strings.Repeat("x", rapid.SampledFrom([]int{1, 1, 100, 700, 2_600}).Draw(t, "size")), CreatedAt: at,
					}
					all, list = append(all, m), append(list, NewMessage{Message: m})
				}
				if len(list) > 0 {
					outcomes, err := p.clients[0].Append(t.Context(), chat, list)
					if err = join(outcomes, err); err != nil {
						t.Fatal(err)
					}
				}
				c := p.clients[rapid.IntRange(0, len(p.clients)-1).Draw(t, "client")]
				need := rapid.IntRange(1, 30).Draw(t, "need")
				want := need + rapid.SampledFrom([]int{0, 5, 40}).Draw(t, "want")
				pages, err := c.Recent(t.Context(), chat, []string{"user", "assistant"}, need, want)
				if e, ok := errors.AsType[*Error](err); ok && e.Kind == CutShort && name == "a shallow server" {
					return // TestDeepSearches
				}
				if err != nil {
					fits := fitsOf(t, err, "num_messages")
					if fits >= need {
						t.Fatalf("of %d messages there is said to be room for %d", need, fits)
					}
					if c == p.clients[0] {
						t.Fatalf("everything has room, but: %v", err)
					}
					if _, err := c.Recent(t.Context(), chat, []string{"user", "assistant"}, fits+1, fits+1); err == nil && !ties {
						t.Fatalf("there is said to be room for %d messages, but there is for one more", fits)
					}
					if need = fits; need == 0 {
						return
					}
					if pages, err = c.Recent(t.Context(), chat, []string{"user", "assistant"}, need, need); err != nil {
						t.Fatalf("there is said to be room for %d messages: %v", fits, err)
					}
				}
				pages[0].check(t, newestFirst(all, "user"), need)
				pages[1].check(t, newestFirst(all, "assistant"), need)
			})
		})
	}
}

// A page ends with all messages of one time. Those may have somewhat more bytes than an answer, whatever the pages of the server were.
func TestARunOfOneTimeMayTakeMoreThanAnAnswer(t *testing.T) {
	p := newPager(t, schemaWithTime("date"), 0)
	small := p.clients[1]
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var list []NewMessage
	add := func(age, size int) {
		m := wire.Message{ID: uuid.NewString(), Role: "assistant", Content: strings.Repeat("x", size), CreatedAt: at.Add(-time.Duration(age) * time.Second)}
		list = append(list, NewMessage{Message: m})
	}
	for i, size := range []int{1, 700, 1, 100, 2_600} {
		add(i, size)
	}
	for range 12 { // with the five before them: 13 KB, where an answer may have 8 KB
		add(5, 600)
	}
	for range 20 { // 15 KB more
		add(6, 600)
	}
	outcomes, err := p.clients[0].Append(t.Context(), "chat", list)
	if err = join(outcomes, err); err != nil {
		t.Fatal(err)
	}
	for need := 1; need <= 20; need++ {
		pages, err := small.Recent(t.Context(), "chat", []string{"assistant"}, need, need)
		switch {
		case need <= 10 && err != nil:
			t.Errorf("%d: %v", need, err)
		case need <= 10 && len(pages[0].Messages) < need, need > 5 && need <= 10 && len(pages[0].Messages) != 17:
			t.Errorf("%d: there are %d messages", need, len(pages[0].Messages))
		case need > 10 && (err == nil || !strings.Contains(err.Error(), "num_messages may be at most 5 here")):
			t.Errorf("%d: got %v", need, err)
		}
	}
}

// asked takes down every search.
func (x *tester) asked() func() []*pb.SearchRequest {
	var list []*pb.SearchRequest
	x.server.SetFailSearch(func(r *pb.SearchRequest) error {
		x.mu.Lock()
		defer x.mu.Unlock()
		list = append(list, r)
		return nil
	})
	return func() []*pb.SearchRequest {
		x.mu.Lock()
		defer x.mu.Unlock()
		defer func() { list = nil }()
		return list
	}
}

func testerOf(t *testing.T, schema string, change func(*Config), net weaviatetest.Config) *tester {
	t.Helper()
	x := &tester{T: t, server: weaviatetest.NewWith(net), at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	x.server.MustAddClass(schema)
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	x.Client = clientOf(t, x.server, cfg)
	return x
}

func TestPagesAfterTheFirstAskForOlderRowsAlone(t *testing.T) {
	word := strings.Replace(ownSchema, `,"tokenization":"field"`, "", 1)
	for kind, want := range map[string]string{"date": "*protocol.Filters_ValueText", "int": "*protocol.Filters_ValueInt", "number": "*protocol.Filters_ValueNumber"} {
		x := testerOf(t, strings.Replace(word, `"name":"created_at","dataType":["date"]`, `"name":"created_at","dataType":["`+kind+`"]`, 1)+"}", nil, weaviatetest.Config{})
		x.write("1-1", "user", 5, time.Second)
		x.at = x.at.Add(time.Hour)
		x.write("1-1 ", "user", 200, time.Second) // "word" finds them too, and they are newer
		asked := x.asked()
		pages, err := x.Recent(t.Context(), "1-1", []string{"user"}, 5, 5)
		if err != nil || len(pages[0].Messages) != 5 || !pages[0].Complete {
			t.Fatal(pages, err)
		}
		limits, offsets := []uint32{}, []uint32{}
		for _, r := range asked() {
			if len(r.GetSortBy()) == 0 {
				continue // looks for seconds
			}
			limits, offsets = append(limits, r.GetLimit()), append(offsets, r.GetOffset())
			filters := r.GetFilters().GetFilters()
			if len(limits) == 1 {
				if len(filters) != 2 {
					t.Errorf("%s: the first page has %d filters", kind, len(filters))
				}
				continue
			}
			f := filters[len(filters)-1]
			if len(filters) != 3 || f.GetOperator() != pb.Filters_OPERATOR_LESS_THAN_EQUAL || f.GetTarget().GetProperty() != "created_at" || fmt.Sprintf("%T", f.GetTestValue()) != want {
				t.Errorf("%s: a further page is filtered by %v", kind, filters)
			}
		}
		// The pages grow fourfold while they bring nothing. Each begins with the last row of the one before it.
		if !slices.Equal(limits, []uint32{13, 52, 208}) || !slices.Equal(offsets, []uint32{0, 1, 1}) {
			t.Errorf("%s: limits %v, offsets %v", kind, limits, offsets)
		}
	}
}

func TestPagesOfWhatCannotBeFilteredByTimeGoOnBehindTheLast(t *testing.T) {
	for name, schema := range map[string]string{
		"text":         schemaWithTime("text"),
		"not indexed":  strings.Replace(ownSchema, `"name":"created_at",`, `"name":"created_at","indexFilterable":false,`, 1) + "}",
		"not a number": strings.Replace(ownSchema, `"name":"created_at","dataType":["date"]`, `"name":"created_at","indexFilterable":false,"dataType":["int"]`, 1) + "}",
	} {
		x := testerOf(t, schema, nil, weaviatetest.Config{})
		x.write("a", "user", 40, 0)
		x.at = x.at.Add(-time.Hour)
		x.write("a", "user", 5, time.Second)
		asked := x.asked()
		pages, err := x.Recent(t.Context(), "a", []string{"user"}, 41, 41)
		if err != nil || len(pages[0].Messages) != 45 {
			t.Errorf("%s: %v, %v", name, pages, err)
		}
		asked()
		x.write("b", "user", 30, 0)
		if _, err := x.Recent(t.Context(), "b", []string{"user"}, 5, 5); err != nil {
			t.Error(err)
		}
		offsets := []uint32{}
		for _, r := range asked() {
			if len(r.GetSortBy()) > 0 {
				offsets = append(offsets, r.GetOffset())
			}
		}
		if !slices.Equal(offsets, []uint32{0, 13}) {
			t.Errorf("%s: offsets %v", name, offsets)
		}
	}
}

func TestRowsWithoutATimeAreTheOldestAndEndThePaging(t *testing.T) {
	rows := []*pb.SearchResult{}
	for i := range 40 {
		fields := map[string]*pb.Value{"chat_id": textValue("a"), "role": textValue("user"), "content": textValue(strconv.Itoa(i))}
		if i < 3 {
			fields["created_at"] = dateValue(fmt.Sprintf("2026-01-01T00:00:0%dZ", 9-i))
		}
		row := rowOf(fields)
		row.Metadata.Id = strconv.Itoa(i)
		rows = append(rows, row)
	}
	c := clientOf(t, fake{schema: ownSchema + "}", search: func(r *pb.SearchRequest) (*pb.SearchReply, error) {
		from := min(int(r.GetOffset()), len(rows))
		return &pb.SearchReply{Results: rows[from:min(from+int(r.GetLimit()), len(rows))]}, nil
	}}, testConfig())
	pages, err := c.Recent(t.Context(), "a", []string{"user"}, 5, 5)
	if err != nil || len(pages[0].Messages) != 40 || !pages[0].Complete || pages[0].Messages[39].CreatedAt.Unix() != 0 {
		t.Errorf("got %v, %v", pages, err)
	}
}

// A row that is written while a chat is paged moves the others on: the last row of a page comes again with the next.
func TestAMessageThatComesTwiceIsOne(t *testing.T) {
	n := 0
	c := clientOf(t, fake{schema: schemaWithTime("text"), search: func(r *pb.SearchRequest) (*pb.SearchReply, error) {
		reply := &pb.SearchReply{}
		if r.GetOffset() > 0 {
			n = int(r.GetOffset()) - 2 // two rows were written meanwhile
		}
		for range min(r.GetLimit(), uint32(40-n)) { //nolint:gosec // small
			row := rowOf(map[string]*pb.Value{
				"chat_id": textValue("a"), "role": textValue("user"), "content": textValue("x"),
				"created_at": textValue("2026-01-01T00:00:" + fmt.Sprintf("%02d", 59-n) + "Z"),
			})
			row.Metadata.Id = strconv.Itoa(n)
			reply.Results = append(reply.Results, row)
			n++
		}
		return reply, nil
	}}, testConfig())
	pages, err := c.Recent(t.Context(), "a", []string{"user"}, 30, 10)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range pages[0].Messages {
		if seen[m.ID] {
			t.Errorf("message %s is there twice", m.ID)
		}
		seen[m.ID] = true
	}
	if len(seen) < 30 {
		t.Errorf("%d messages", len(seen))
	}
}

func TestDeepSearches(t *testing.T) {
	// A server that gives 25 rows: they are all of one time, so that no page begins behind them.
	x := testerOf(t, ownSchema+"}", nil, weaviatetest.Config{MaxResults: 25})
	x.write("ties", "user", 30, 0)
	x.write("few", "user", 25, 0)
	x.write("many", "user", 60, time.Second)
	wantCutShort := func(err error) {
		t.Helper()
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != CutShort || e.Retryable() || !strings.Contains(e.Message, "class Message") {
			t.Errorf("got %v", err)
		}
	}
	_, err := x.Recent(t.Context(), "ties", []string{"user"}, 3, 3)
	wantCutShort(err)
	if pages, err := x.Recent(t.Context(), "many", []string{"user"}, 60, 60); err != nil || len(pages[0].Messages) != 60 {
		t.Errorf("page by page there are %v, %v", pages, err)
	}
	if x.depth.fit(1000) > 25 || x.depth.fit(20) != 20 {
		t.Errorf("of 1000 it tries %d, of 20 %d", x.depth.fit(1000), x.depth.fit(20))
	}
	// So many rows of others come that no answer is worth the wait.
	searches := 0
	c := clientOf(t, fake{schema: ownSchema + "}", search: func(r *pb.SearchRequest) (*pb.SearchReply, error) {
		searches++
		reply := &pb.SearchReply{Results: make([]*pb.SearchResult, r.GetLimit())}
		for i := range reply.Results {
			reply.Results[i] = rowOf(map[string]*pb.Value{"created_at": dateValue(fmt.Sprintf("2026-01-01T00:00:00.%09dZ", 999_999_999-searches*100_000-i))})
		}
		return reply, nil
	}}, testConfig())
	_, err = c.Recent(t.Context(), "a", []string{"user"}, 2, 2)
	wantCutShort(err)
	if searches > 8 {
		t.Errorf("after %d searches", searches)
	}
}

func TestHowDeepASearchMayGoIsLearned(t *testing.T) {
	for _, allowed := range []int{1, 2, 99, 100, 5_000, 9_999, 10_000, 20_000} {
		var d depth
		tries := 0
		for {
			n := d.fit(30_000)
			if n > mostRows || n < 1 {
				t.Fatalf("tries %d", n)
			}
			if n > allowed {
				if !d.refuse(n) {
					t.Fatalf("gives up at %d where %d are allowed", n, allowed)
				}
			} else {
				if d.took(n); d.fit(30_000) == n {
					break
				}
			}
			if tries++; tries > 40 {
				t.Fatalf("where %d are allowed it still tries %d", allowed, n)
			}
		}
		if n := d.fit(30_000); n != min(allowed, mostRows) {
			t.Errorf("where %d are allowed it takes %d", allowed, n)
		}
		if n := d.fit(1); n != 1 {
			t.Errorf("of one it tries %d", n)
		}
	}
	var d depth
	if d.refuse(1) {
		t.Error("a smaller search than that for one row makes sense")
	}
	d = depth{}
	d.refuse(100)
	d.took(200) // the server was set up anew
	if n := d.fit(10_000); n != 10_000 {
		t.Errorf("after a deeper search it tries %d", n)
	}
	d.refuse(150) // and again
	if n := d.fit(10_000); n != 149 {
		t.Errorf("after a refusal of 150 where 200 were allowed it tries %d", n)
	}
}

func TestSecondsAreLookedForAmongMillisecondsAlone(t *testing.T) {
	for kind, number := range map[string]bool{"int": false, "number": true} {
		x := testerOf(t, schemaWithTime(kind), nil, weaviatetest.Config{})
		x.write("a", "user", 3, time.Second)
		asked := x.asked()
		if _, err := x.Recent(t.Context(), "a", []string{"user", "assistant"}, 5, 5); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, r := range asked() {
			if len(r.GetSortBy()) > 0 {
				continue
			}
			found = true
			f := r.GetFilters().GetFilters()
			values := []any{f[2].GetValueInt(), f[3].GetValueInt()}
			want := []any{int64(0), int64(mostSeconds)}
			if number {
				values, want = []any{f[2].GetValueNumber(), f[3].GetValueNumber()}, []any{0.0, 1e11}
			}
			if len(f) != 4 || f[2].GetOperator() != pb.Filters_OPERATOR_GREATER_THAN || f[3].GetOperator() != pb.Filters_OPERATOR_LESS_THAN ||
				!slices.Equal(values, want) || number != (fmt.Sprintf("%T", f[3].GetTestValue()) == "*protocol.Filters_ValueNumber") {
				t.Errorf("%s: looks by %v", kind, f)
			}
		}
		if !found {
			t.Errorf("%s: seconds are not looked for", kind)
		}
		seconds := testerOf(t, schemaWithTime(kind), nil, weaviatetest.Config{})
		seconds.serve(http.MethodPost, "/v1/batch/objects", `{"objects":[{"class":"Message","properties":{"chat_id":"a","role":"user","content":"x","created_at":1790000000}}]}`)
		if p := seconds.recent("a", 5); len(p.Messages) != 1 || p.Messages[0].CreatedAt.Unix() != 1790000000 {
			t.Errorf("%s: a class of seconds alone has %v", kind, p)
		}
	}
}

func TestAFailureOfTheSearchForSecondsIsTheAnswersFailure(t *testing.T) {
	x := testerOf(t, schemaWithTime("int"), nil, weaviatetest.Config{})
	x.write("a", "user", 1, time.Second)
	x.server.SetFailSearch(func(r *pb.SearchRequest) error {
		if len(r.GetSortBy()) == 0 {
			return connect.NewError(connect.CodeUnavailable, errors.New("no seconds"))
		}
		return nil
	})
	if _, err := x.Recent(t.Context(), "a", []string{"user"}, 5, 5); err == nil || !strings.Contains(err.Error(), "no seconds") {
		t.Errorf("got %v", err)
	}
}

func TestHowManyRowsHaveRoom(t *testing.T) {
	for _, c := range []struct {
		limit       int
		bytes, most int64
		want        int
	}{
		{100, 0, 1000, 50}, {1, 0, 1000, 1}, {100, 2000, 1000, 37}, {100, 1001, 1000, 74}, {2, 1001, 1000, 1}, {100, 1 << 40, 1000, 1},
	} {
		if got := smaller(c.limit, &pool.TooLargeError{Bytes: c.bytes, Most: c.most}); got != c.want {
			t.Errorf("where %d rows have %d bytes of %d: %d, want %d", c.limit, c.bytes, c.most, got, c.want)
		}
	}
}

func TestAMessageThatComesTwiceInOnePageIsOne(t *testing.T) {
	c := clientOf(t, fake{schema: schemaWithTime("date"), search: func(*pb.SearchRequest) (*pb.SearchReply, error) {
		row := func(id string) *pb.SearchResult {
			r := rowOf(map[string]*pb.Value{"chat_id": textValue("c"), "role": textValue("user"), "content": textValue("x"), "created_at": dateValue("2026-01-01T00:00:00Z")})
			r.Metadata.Id = id
			return r
		}
		return &pb.SearchReply{Results: []*pb.SearchResult{row("a"), row("a"), row("b")}}, nil
	}}, testConfig())
	pages, err := c.Recent(t.Context(), "c", []wire.Role{wire.RoleUser}, 5, 10)
	if err != nil {
		t.Fatal(err)
	}
	if got := pages[0].Messages; len(got) != 2 || got[0].ID == got[1].ID {
		t.Errorf("%+v", got)
	}
}

func TestTheBytesOfEveryPageAreCountedOnce(t *testing.T) {
	message := func(id string) wire.Message { return wire.Message{ID: id, Content: "x"} }
	s := &scan{}
	s.keep([]wire.Message{message("a"), message("b")})
	s.keep([]wire.Message{message("b"), message("c")})
	if want := 3 * bytesOf(message("a")); s.bytes != want {
		t.Errorf("three messages of a byte count as %d bytes, want %d", s.bytes, want)
	}
}
