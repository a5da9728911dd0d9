package miss

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/protobuf/proto"
)

func TestBothWaysTakeTurns(t *testing.T) {
	var order []string
	going := func(name string) way {
		return func(context.Context) error {
			order = append(order, name)
			return nil
		}
	}
	a, b, err := inTurn(t.Context(), 10, going("a"), going("b"))
	if err != nil || len(a) != 10 || len(b) != 10 {
		t.Fatalf("%v, %v, %v", a, b, err)
	}
	if want := []string{"a", "b", "b", "a", "a", "b"}; len(order) != 24 || !slices.Equal(order[:6], want) {
		t.Errorf("%d calls in the order %v", len(order), order)
	}
}

func TestAFaultEndsTheCalls(t *testing.T) {
	fault := errors.New("no")
	fails := func(context.Context) error { return fault }
	if _, _, err := inTurn(t.Context(), 10, fails, fails); !errors.Is(err, fault) {
		t.Errorf("the error is %v", err)
	}
}

func TestTheRecorderKeepsWhatPasses(t *testing.T) {
	var r recorder
	h := r.before(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { _, _ = io.Copy(w, req.Body) }))
	answer := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/x", bytes.NewReader([]byte("hello")))
	req.Header.Set("A", "b")
	h.ServeHTTP(answer, req)
	if answer.Body.String() != "hello" {
		t.Errorf("the answer is %q", answer.Body)
	}
	asked := r.take()
	if len(asked) != 1 || asked[0].path != "/x" || string(asked[0].body) != "hello" || asked[0].header.Get("A") != "b" {
		t.Errorf("it has kept %+v", asked)
	}
	if again := r.take(); again != nil {
		t.Errorf("it has kept %+v twice", again)
	}
}

func TestSearchOf(t *testing.T) {
	message, err := proto.Marshal(&pb.SearchRequest{Collection: "Message", Limit: 7})
	if err != nil {
		t.Fatal(err)
	}
	body := append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
	if got, err := searchOf(question{path: searchPath, body: body}); err != nil || got.GetLimit() != 7 {
		t.Errorf("%v, %v", got, err)
	}
	body[0] = 1
	for _, q := range []question{{path: "/other", body: body}, {path: searchPath, body: body}, {path: searchPath}} {
		if got, err := searchOf(q); err == nil {
			t.Errorf("%+v is %v", q, got)
		}
	}
}
