package main

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// silence is how silent an upstream is that accepts connections.
type silence string

const (
	speaks   silence = ""         // it answers
	mute     silence = "accepts"  // it sends nothing at all
	settings silence = "SETTINGS" // over HTTP/2 it sends its SETTINGS, and nothing else
	pings    silence = "PING"     // it also answers every PING
)

// mouth is a proxy in front of an upstream. A connection that it accepts while it is silent stays silent for ever. A connection that it
// accepts while it speaks is passed on to the server.
type mouth struct {
	listener net.Listener
	server   string
	silence  silence
	speaking atomic.Bool
	conns    sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{} // guarded by mu; nil once closed
}

func newMouth(server string, s silence) (*mouth, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it takes no time
	if err != nil {
		return nil, err
	}
	m := &mouth{listener: l, server: server, silence: s, open: map[net.Conn]struct{}{}}
	m.speaking.Store(s == speaks)
	m.conns.Go(m.accept)
	return m, nil
}

func (m *mouth) url() string { return "http://" + m.listener.Addr().String() }

func (m *mouth) accept() {
	for {
		conn, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.conns.Go(func() {
			defer conn.Close()
			if m.keep(conn) {
				m.serve(conn)
			}
		})
	}
}

// keep remembers a connection for close, and says whether it may be served.
func (m *mouth) keep(conn net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open != nil {
		m.open[conn] = struct{}{}
	}
	return m.open != nil
}

func (m *mouth) serve(conn net.Conn) {
	if !m.speaking.Load() {
		if m.silence != mute {
			_ = m.greet(conn)
		}
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	server, err := net.Dial("tcp", m.server) //nolint:noctx // loopback: answers at once
	if err != nil {
		return
	}
	defer server.Close()
	if !m.keep(server) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(conn, server)
		conn.Close()
	})
	_, _ = io.Copy(server, conn)
	server.Close()
	back.Wait()
}

// greet sends SETTINGS if the client speaks HTTP/2. Then it reads all frames, and answers SETTINGS and, if the silence is pings, PING.
func (m *mouth) greet(conn net.Conn) error {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	const typeSettings, typePing, ack = 4, 6, 1
	got := make([]byte, len(preface))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != preface {
		return err
	}
	if _, err := conn.Write([]byte{0, 0, 0, typeSettings, 0, 0, 0, 0, 0}); err != nil {
		return err
	}
	for {
		header := make([]byte, 9)
		if _, err := io.ReadFull(conn, header); err != nil {
			return err
		}
		body := make([]byte, binary.BigEndian.Uint32(header)>>8)
		if _, err := io.ReadFull(conn, body); err != nil {
			return err
		}
		kind, acked := header[3], header[4]&ack != 0
		header[4] |= ack
		var err error
		switch {
		case acked:
		case kind == typeSettings:
			_, err = conn.Write([]byte{0, 0, 0, typeSettings, ack, 0, 0, 0, 0})
		case kind == typePing && m.silence == pings:
			_, err = conn.Write(append(header, body...))
		}
		if err != nil {
			return err
		}
	}
}

// close ends every connection, and returns when that is done.
func (m *mouth) close() {
	m.listener.Close()
	m.mu.Lock()
	open := m.open
	m.open = nil
	m.mu.Unlock()
	for conn := range open {
		conn.Close()
	}
	m.conns.Wait()
}
