package testnet

import (
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/net/dns/dnsmessage"
)

// Resolving is what a [NameServer] does with questions.
type Resolving int

// The values of Resolving.
const (
	Answer Resolving = iota // every name has the address 127.0.0.1
	Deny                    // no name exists
	Ignore                  // there is no answer
)

// NameServer is a DNS server on a loopback port. Close it.
type NameServer struct {
	Addr string

	conn net.PacketConn
	mode atomic.Int64
	done sync.WaitGroup
}

// NewNameServer starts a server that answers.
func NewNameServer() (*NameServer, error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0") //nolint:noctx // its life ends with Close
	if err != nil {
		return nil, err
	}
	s := &NameServer{Addr: conn.LocalAddr().String(), conn: conn}
	s.done.Go(s.serve)
	return s, nil
}

// Set changes what the server does with questions that come from now on.
func (s *NameServer) Set(mode Resolving) { s.mode.Store(int64(mode)) }

// Close ends the server.
func (s *NameServer) Close() error {
	err := s.conn.Close()
	s.done.Wait()
	return err
}

func (s *NameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		mode := Resolving(s.mode.Load())
		if mode == Ignore {
			continue
		}
		if answer, err := answer(buf[:n], mode); err == nil {
			_, _ = s.conn.WriteTo(answer, from) // an error is like an answer that UDP loses
		}
	}
}

func answer(question []byte, mode Resolving) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if mode == Deny {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	for _, q := range m.Questions {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			})
		}
	}
	return m.Pack()
}
