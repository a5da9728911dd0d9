package rig

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"hearth/client/wire"
)

// What the calls send are requests that net/http reads, token included.
func TestCallsAreRequests(t *testing.T) {
	for _, call := range []Call{History(), FreshHistory(), Preprocess(), FreshRead()} {
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(call.Request))))
		if err != nil {
			t.Fatal(err)
		}
		if req.RequestURI != call.Path || req.Header.Get(wire.HeaderToken) != Token || req.Host != "localhost" {
			t.Errorf("%s: %+v", call.Path, req)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil || int64(len(body)) != req.ContentLength {
			t.Errorf("%s: the body has %d bytes and not %d: %v", call.Path, len(body), req.ContentLength, err)
		}
	}
}

func TestHeld(t *testing.T) {
	header := func(status string) http.Header { return http.Header{"Cache-Status": {status}} }
	parts := func(mute string) []byte {
		return []byte(`{"cache":{"mute_status":"` + mute + `","relevant_messages":"hit","odoo_models":"hit","history":"hit"},"timings":{"a":1}}`)
	}
	for _, c := range []struct {
		name  string
		reply Reply
		want  bool
	}{
		{"a hit", Reply{Header: header("hearth; hit; ttl=5")}, true},
		{"a miss", Reply{Header: header("hearth; fwd=miss")}, false},
		{"all parts", Reply{Body: parts("hit")}, true},
		{"a part is a miss", Reply{Body: parts("miss")}, false},
		{"a part is missing", Reply{Body: []byte(`{"cache":{"history":"hit"}}`)}, false},
		{"no JSON", Reply{Body: []byte("hello")}, false},
	} {
		if got := held(c.reply); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestTimings(t *testing.T) {
	body := []byte(`{"cache":{},"timings":{"history":0.019},"x":{}}`)
	if span := timings(body); string(body[span.Begin:span.End]) != `"history":0.019` {
		t.Errorf("%v is %s", span, body[span.Begin:span.End])
	}
	if span := timings([]byte(`{"chat_id":"x"}`)); span.Begin != 0 || span.End != 0 {
		t.Errorf("a history has timings: %v", span)
	}
}

func TestFreeAddressesDiffer(t *testing.T) {
	r := &Rig{}
	var listening []net.Listener
	for range 5 {
		address, err := r.FreeAddress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatalf("%s is not free: %v", address, err)
		}
		listening = append(listening, l)
	}
	for _, l := range listening {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAProcessThatEndsTellsWhy(t *testing.T) {
	r := &Rig{Dir: t.TempDir()}
	p, err := r.Start(t.Context(), nil, "/bin/sh", "-c", "echo too bad >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	err = p.Ready(t.Context(), Listens("unix", r.Dir+"/nobody"))
	if err == nil || !strings.Contains(err.Error(), "too bad") {
		t.Errorf("the error is %v", err)
	}
}
