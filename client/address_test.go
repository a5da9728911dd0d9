package client

import (
	"strings"
	"testing"
	"time"
)

func TestFromEnv(t *testing.T) {
	const derived = "17143f132f3438a5457da142f2c97ec716e982930a0ab57835258b70b640c74b"
	for _, tc := range []struct {
		name string
		env  map[string]string
		want Config
	}{
		{"nothing", nil, Config{Addr: DefaultAddr}},
		{"an address", map[string]string{"HEARTH_ADDR": "127.0.0.1:1", "HEARTH_TOKEN": "t"}, Config{Addr: "127.0.0.1:1", Token: "t"}},
		{"a socket", map[string]string{"HEARTH_SOCKET": "/s"}, Config{Socket: "/s", Addr: DefaultAddr}},
		{
			"a socket and an address",
			map[string]string{"HEARTH_SOCKET": "/s", "HEARTH_ADDR": "127.0.0.1:1", "AWS_LAMBDA_RUNTIME_API": "x"},
			Config{Socket: "/s", Addr: "127.0.0.1:1"},
		},
		{"Lambda", map[string]string{"AWS_LAMBDA_RUNTIME_API": "x"}, Config{Socket: "/tmp/hearth.sock", Addr: DefaultAddr}},
		{
			"the given token comes first",
			map[string]string{"AWS_LAMBDA_RUNTIME_API": "x", "AWS_SESSION_TOKEN": "s", "HEARTH_TOKEN": "t"},
			Config{Socket: "/tmp/hearth.sock", Addr: DefaultAddr, Token: "t"},
		},
		{
			"the session token",
			map[string]string{"AWS_LAMBDA_RUNTIME_API": "x", "AWS_SESSION_TOKEN": "s", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "c"},
			Config{Socket: "/tmp/hearth.sock", Addr: DefaultAddr, Token: derived},
		},
		{
			"the container's token",
			map[string]string{"AWS_LAMBDA_RUNTIME_API": "x", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "s"},
			Config{Socket: "/tmp/hearth.sock", Addr: DefaultAddr, Token: derived},
		},
		{
			"white space around settings",
			map[string]string{"HEARTH_SOCKET": "/s\n", "HEARTH_ADDR": "\t127.0.0.1:1 ", "HEARTH_TOKEN": " t\r\n"},
			Config{Socket: "/s", Addr: "127.0.0.1:1", Token: "t"},
		},
		{"credentials outside Lambda", map[string]string{"AWS_SESSION_TOKEN": "s"}, Config{Addr: DefaultAddr}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := FromEnv(func(name string) string { return tc.env[name] }); got != tc.want {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, addr := range []string{"10.0.0.1:2774", "example.com:80", "127.0.0.1", ":2774", "127.0.0.1:", "localhost.example.com:1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:http"} {
		if _, err := New(Config{Addr: addr}); err == nil {
			t.Errorf("%q was taken", addr)
		}
		if _, err := New(Config{Addr: addr, Socket: "/s"}); err != nil {
			t.Errorf("beside a socket: %v", err)
		}
	}
	for _, addr := range []string{"", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"} {
		if _, err := New(Config{Addr: addr}); err != nil {
			t.Errorf("%q: %v", addr, err)
		}
	}
	_, err := New(Config{Addr: "nonsense", Timeout: -1})
	if err == nil || !strings.Contains(err.Error(), "nonsense") || !strings.Contains(err.Error(), "Timeout") {
		t.Errorf("of two faults: %v", err)
	}
	if _, err := New(Config{Timeout: -1}); err == nil {
		t.Error("a negative timeout was taken")
	}
}

func TestStampsAreInUTCAndWholeMicroseconds(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 1999, time.FixedZone("", 3600))
	got, err := stamped([]NewMessage{{}}, now)
	if want := time.Date(2026, 3, 1, 11, 0, 0, 1000, time.UTC); err != nil || got[0].CreatedAt != want {
		t.Errorf("%v, want %v; %v", got[0].CreatedAt, want, err)
	}
}

func TestStampsIncreaseWithinOneCall(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)
	future := now.Add(time.Hour)
	given := []NewMessage{
		{Content: "a"},
		{Content: "b"},
		{ID: "mine", CreatedAt: future},
		{Content: "c"},
		{CreatedAt: now.Add(-time.Hour)},
		{Content: "d"},
	}
	got, err := stamped(given, now)
	if err != nil {
		t.Fatal(err)
	}
	want := []time.Time{
		now, now.Add(time.Microsecond), future, future.Add(time.Microsecond),
		now.Add(-time.Hour), future.Add(2 * time.Microsecond),
	}
	ids := map[string]bool{}
	for i, m := range got {
		if !m.CreatedAt.Equal(want[i]) {
			t.Errorf("message %d: %v, want %v", i, m.CreatedAt, want[i])
		}
		if m.ID == "" || ids[m.ID] {
			t.Errorf("message %d: id %q", i, m.ID)
		}
		ids[m.ID] = true
	}
	if got[2].ID != "mine" || given[0].ID != "" {
		t.Errorf("got %q for mine, and the caller's own became %q", got[2].ID, given[0].ID)
	}
}
