package wire_test

import (
	"testing"

	"hearth/client/wire"
)

func TestOnlyLoopbackIsThisMachine(t *testing.T) {
	for addr, want := range map[string]int{ // -1: not this machine
		"localhost:0": 0, "127.0.0.1:2774": 2774, "127.255.0.1:65535": 65535, "[::1]:1": 1,
		"128.0.0.1:1": -1, "[::2]:1": -1, "0.0.0.0:1": -1, ":1": -1, "hearth:1": -1, "localhost.example.com:1": -1, "LOCALHOST:1": -1,
		"localhost": -1, "127.0.0.1": -1, "localhost:65536": -1, "localhost:-1": -1, "localhost:http": -1, "localhost:": -1, "": -1,
	} {
		if port, ok := wire.LoopbackPort(addr); ok != (want >= 0) || ok && int(port) != want {
			t.Errorf("%q: %d, %t", addr, port, ok)
		}
	}
}

func TestBothSidesDeriveOneToken(t *testing.T) {
	// Handlers and sidecars of different versions meet: it must never change. (printf hearth | openssl dgst -sha256 -hmac session)
	const ofSession = "43aabecb02690aa817e885d91c273a4aa760a6eb592c44ecfea70b0920d98c8e"
	for _, c := range []struct{ session, container, token, variable string }{
		{"session", "container", ofSession, "AWS_SESSION_TOKEN"},
		{"session", "", ofSession, "AWS_SESSION_TOKEN"},
		{"", "session", ofSession, "AWS_CONTAINER_AUTHORIZATION_TOKEN"},
		{"", "", "", ""},
	} {
		if token, variable := wire.DeriveToken(c.session, c.container); token != c.token || variable != c.variable {
			t.Errorf("%v: %s from %s", c, token, variable)
		}
	}
}
