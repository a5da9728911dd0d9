package main

import (
	"context"
	"net/http"
	"time"

	"hearth/client/wire"
	"hearth/internal/testing/testnet"
)

// fault is a way in which the upstreams fail.
type fault struct {
	name   string
	short  bool // it belongs to the short form
	real   bool // it is of the network alone, and happens in front of real servers too
	crowd  int  // how many of each call are made at once; 0: one
	rounds int  // how often all calls are made; 0: once
	setup  setup
	also   []wire.Kind // kinds of problems that tell the truth under this fault, besides the usual ones
	hidden bool        // no caller of a repeatable call may notice it
	outage []upstream  // the upstreams that are down until its end: soon only probes may reach them
	opaque bool        // Hearth cannot see that a fetched answer is wrong
	strike strike
}

// strike begins a fault. lift ends the fault; nil: it has ended already.
type strike func(context.Context, *rig) (lift func() error, err error)

// faults returns all faults.
func faults() []fault {
	second := time.Second
	return append(grpcCodes(),
		// The wire.
		fault{name: "latency", real: true, hidden: true, short: true, strike: wires(func(p *testnet.Proxy) { p.SetRTT(200 * time.Millisecond) }, func(p *testnet.Proxy) { p.SetRTT(rtt) })},
		fault{name: "jitter", real: true, hidden: true, strike: wires(func(p *testnet.Proxy) { p.SetJitter(200 * time.Millisecond) }, func(p *testnet.Proxy) { p.SetJitter(0) })},
		fault{name: "little bandwidth", strike: wires(func(p *testnet.Proxy) { p.SetBandwidth(4 << 10) }, func(p *testnet.Proxy) { p.SetBandwidth(0) })},
		fault{name: "closed connections", real: true, hidden: true, strike: wires(func(p *testnet.Proxy) { p.Cut(testnet.FIN) }, nil)},
		fault{name: "slow close", real: true, hidden: true, strike: wires(func(p *testnet.Proxy) { p.Cut(testnet.Half) }, nil)},
		fault{name: "reset", real: true, hidden: true, short: true, strike: wires(func(p *testnet.Proxy) { p.Cut(testnet.RST) }, nil)},
		fault{name: "reset again and again", real: true, strike: often(func(p *testnet.Proxy) { p.Cut(testnet.RST) })},
		fault{name: "half-open", real: true, hidden: true, short: true, strike: wires(func(p *testnet.Proxy) { p.Forget() }, nil)},
		fault{name: "dropped flows", real: true, short: true, hidden: true, strike: dropped},
		fault{name: "black hole", real: true, short: true, strike: wires(func(p *testnet.Proxy) { p.BlackHole() }, nil)},
		fault{name: "black hole in a freeze", real: true, hidden: true, short: true, strike: frozen(func(p *testnet.Proxy) { p.BlackHole() })},
		fault{name: "reset in a freeze", real: true, hidden: true, strike: frozen(func(p *testnet.Proxy) { p.Cut(testnet.RST) })},
		fault{name: "silence from now on", real: true, outage: everything(), strike: silence(everything()...)},
		fault{name: "silence of Weaviate", strike: silence(weaviateREST, weaviateGRPC)},
		fault{name: "silence of Odoo", real: true, strike: silence(odoo)},
		fault{name: "restart", real: true, short: true, strike: restart(second)},

		// Names, certificates and protocols.
		fault{name: "DNS failure", outage: []upstream{weaviateREST, weaviateGRPC, odoo}, short: true, strike: resolving(testnet.Deny)},
		fault{name: "DNS hang", strike: resolving(testnet.Ignore)},
		fault{name: "certificate of a stranger", outage: everything(), strike: presenting(testnet.Stranger)},
		fault{name: "expired certificate", outage: everything(), short: true, strike: presenting(testnet.Expired)},
		fault{name: "another protocol", real: true, outage: everything(), strike: speaking("SSH-2.0-OpenSSH_9.2p1\r\n")},
		fault{name: "HTTP where TLS is due", strike: speaking("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")},
		fault{name: "nothing where TLS is due", strike: speaking("")},

		// Answers that do not come, or in pieces.
		fault{name: "never answering", outage: everything(), short: true, strike: tampered(never)},
		fault{name: "Weaviate never answers", outage: []upstream{weaviateREST, weaviateGRPC}, strike: tampered(never, weaviateREST, weaviateGRPC)},
		fault{name: "Odoo never answers", outage: []upstream{odoo}, strike: tampered(never, odoo)},
		fault{name: "a byte at a time", strike: tampered(drip)},
		fault{name: "truncated answers", short: true, strike: tampered(truncated)},
		fault{name: "an answer that never ends", strike: tampered(endless), also: []wire.Kind{wire.KindAnswerTooLarge}},
		fault{name: "slow start", strike: slowStart(2 * second)},
		fault{name: "closes after each answer", hidden: true, strike: tampered(closing)},

		// Answers that are spoiled.
		fault{name: "corrupt answers", short: true, opaque: true, strike: tampered(corrupt)},
		fault{name: "longer than Content-Length", opaque: true, strike: tampered(longer)},
		fault{name: "shorter than Content-Length", strike: tampered(shorter)},
		fault{name: "an answer too many", strike: tampered(twice)},
		fault{name: "gzip unasked", opaque: true, strike: tampered(zipped)},
		fault{name: "HTML instead of JSON", short: true, opaque: true, strike: tampered(html(http.StatusOK))},
		fault{name: "an empty 200", opaque: true, strike: tampered(empty)},
		fault{name: "a redirect", strike: tampered(redirect), also: []wire.Kind{wire.KindRedirected, wire.KindNotAllowed}},

		// Upstreams that refuse.
		fault{name: "429 and Retry-After in seconds", short: true, strike: tampered(refusing(http.StatusTooManyRequests, "1"))},
		fault{name: "429 and Retry-After as a date", strike: tampered(refusing(http.StatusTooManyRequests, "Fri, 01 Jan 2100 00:00:00 GMT"))},
		fault{name: "503 and Retry-After in seconds", strike: tampered(refusing(http.StatusServiceUnavailable, "1"))},
		fault{name: "503 and a huge Retry-After", outage: everything(), short: true, strike: tampered(refusing(http.StatusServiceUnavailable, "99999999999999999999"))},
		fault{name: "503 and a negative Retry-After", strike: tampered(refusing(http.StatusServiceUnavailable, "-5"))},
		fault{name: "every fourth request refused", short: true, rounds: 40, strike: everyFourth(refusing(http.StatusServiceUnavailable, ""))},
		// What another host says of one page concerns that page alone.
		fault{name: "500", outage: []upstream{weaviateREST, weaviateGRPC, odoo}, strike: tampered(html(http.StatusInternalServerError))},
		fault{name: "a create is cut after it was done", short: true, strike: tampered(cutCreates, odoo)},
		fault{name: "502 of a gateway, done all the same", short: true, crowd: 4, strike: tampered(html(http.StatusBadGateway))},
		fault{name: "504 of a gateway, done all the same", strike: tampered(html(http.StatusGatewayTimeout))},
		fault{name: "a wrong key for a second", short: true, strike: forASecond(tampered(wrongKey))},

		// gRPC.
		fault{name: "GOAWAY after each answer", hidden: true, short: true, strike: tampered(closing, weaviateGRPC)},
		fault{name: "one stream", hidden: true, setup: setup{streams: 1}, strike: nothing},
		fault{name: "RST_STREAM", strike: tampered(abort, weaviateGRPC)},
		fault{name: "trailers missing", short: true, strike: tampered(withoutTrailers, weaviateGRPC)},

		// Failures inside a 200.
		fault{name: "objects that fail in a 200", short: true, strike: failingObjects},
		fault{name: "Odoo's errors in a 200", short: true, setup: setup{jsonRPC: true}, strike: tampered(rpcError("odoo.exceptions.UserError", "No"), odoo)},
		fault{name: "Odoo's lost database in a 200", setup: setup{jsonRPC: true}, strike: tampered(rpcError("psycopg2.OperationalError", "the connection is lost"), odoo)},
		fault{name: "Odoo's refusals in a 200", setup: setup{jsonRPC: true}, strike: tampered(rpcError("odoo.exceptions.AccessDenied", "Access Denied"), odoo)},

		// The sandbox and its callers.
		fault{name: "full disk", hidden: true, short: true, setup: setup{fullDisk: true}, strike: nothing},
		fault{name: "out of descriptors", short: true, strike: outOfFiles},
		fault{name: "ten times the load", short: true, crowd: 10, strike: loaded(50 * time.Millisecond)},
	)
}

func nothing(context.Context, *rig) (func() error, error) { return nil, nil }
