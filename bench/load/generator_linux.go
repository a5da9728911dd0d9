package load

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Generator sends requests. It keeps its connections from one job to the next. It must not be used by two goroutines at once.
type Generator struct {
	epoll  int
	events [256]unix.EpollEvent
	open   map[target][]*connection
}

// target is what the connections of a job have in common.
type target struct{ network, address string }

// connection is one connection to a server.
type connection struct {
	fd      int
	index   int  // among the connections to its target
	checked bool // the bytes of a reply were compared, in this job
	sent    time.Time
	read    int // bytes of buffer
	buffer  []byte
}

// New makes a generator. Close it.
func New() (*Generator, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("load: epoll: %w", err)
	}
	return &Generator{epoll: epoll, open: map[target][]*connection{}}, nil
}

// Close closes all connections.
func (g *Generator) Close() error {
	err := unix.Close(g.epoll)
	for _, connections := range g.open {
		for _, c := range connections {
			err = errors.Join(err, unix.Close(c.fd))
		}
	}
	return err
}

// Run does the job. Each connection sends its next request when the reply to the last one has come. Run waits for the requests that
// are under way when the time is over, and counts them.
func (g *Generator) Run(job Job) (Report, error) {
	if err := job.validate(); err != nil {
		return Report{}, err
	}
	connections, err := g.connections(job)
	if err != nil {
		return Report{}, err
	}
	r := round{Job: job, generator: g, connections: connections, latencies: &histogram{}}
	began, ran := time.Now(), processorTime()
	if err := r.run(began); err != nil {
		return Report{}, err
	}
	took := r.last.Sub(began)
	return Report{
		Requests: r.latencies.count, Seconds: took.Seconds(),
		P50: r.latencies.microseconds(0.5), P99: r.latencies.microseconds(0.99), P999: r.latencies.microseconds(0.999),
		Busy: float64(processorTime()-ran) / float64(took),
	}, nil
}

// processorTime is how long this process has run so far.
func processorTime() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0 // it cannot fail for this process
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// connections returns as many connections as the job wants, and opens those that are missing.
func (g *Generator) connections(job Job) ([]*connection, error) {
	to := target{job.Network, job.Address}
	for len(g.open[to]) < job.Connections {
		fd, err := dial(job.Network, job.Address)
		if err != nil {
			return nil, fmt.Errorf("load: connect to %s: %w", job.Address, err)
		}
		c := &connection{fd: fd, index: len(g.open[to]), buffer: make([]byte, 64<<10)}
		g.open[to] = append(g.open[to], c)
	}
	return g.open[to][:job.Connections], nil
}

// dial connects. Reads of the connection do not block.
func dial(network, address string) (fd int, err error) {
	family, to := unix.AF_UNIX, unix.Sockaddr(&unix.SockaddrUnix{Name: address})
	if network == "tcp" {
		a, err := net.ResolveTCPAddr("tcp4", address)
		if err != nil {
			return 0, err
		}
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: a.Port, Addr: a.AddrPort().Addr().Unmap().As4()}
	}
	if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	if network == "tcp" {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	err = errors.Join(err, unix.Connect(fd, to), unix.SetNonblock(fd, true))
	if err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// round is a job under way.
type round struct {
	Job

	generator   *Generator
	connections []*connection
	latencies   *histogram
	sent        int
	last        time.Time // when the last reply came
}

// silence is how long all connections may be silent.
const silence = 10 * time.Second

func (r *round) run(began time.Time) (err error) {
	for _, c := range r.connections {
		c.checked = false
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.index)}
		if err := unix.EpollCtl(r.generator.epoll, unix.EPOLL_CTL_ADD, c.fd, &event); err != nil {
			return fmt.Errorf("load: epoll: %w", err)
		}
	}
	defer func() {
		for _, c := range r.connections {
			err = errors.Join(err, unix.EpollCtl(r.generator.epoll, unix.EPOLL_CTL_DEL, c.fd, nil))
		}
	}()
	now := time.Now()
	for _, c := range r.connections {
		if err := r.send(c, now); err != nil {
			return err
		}
	}
	for r.latencies.count < r.sent {
		ready, err := unix.EpollWait(r.generator.epoll, r.generator.events[:], int(silence/time.Millisecond))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("load: epoll: %w", err)
		case ready == 0:
			return fmt.Errorf("load: no reply from %s for %v", r.Address, silence)
		}
		for _, event := range r.generator.events[:ready] {
			if err := r.receive(r.connections[event.Fd], began); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *round) send(c *connection, now time.Time) error {
	c.sent = now
	r.sent++
	n, err := unix.Write(c.fd, r.Request)
	if err == nil && n < len(r.Request) {
		err = errors.New("the request does not fit")
	}
	if err != nil {
		return fmt.Errorf("load: write to %s: %w", r.Address, err)
	}
	return nil
}

// receive reads what has come. If the reply is complete, it sends the next request.
func (r *round) receive(c *connection, began time.Time) error {
	n, err := unix.Read(c.fd, c.buffer[c.read:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return fmt.Errorf("load: read from %s: %w", r.Address, err)
	case n == 0:
		return fmt.Errorf("load: %s closed a connection", r.Address)
	}
	c.read += n
	body, err := r.Protocol.body(c.buffer[:c.read])
	switch {
	case err != nil:
		return err
	case body == nil && c.read == len(c.buffer):
		c.buffer = append(c.buffer, make([]byte, len(c.buffer))...)
		return nil
	case body == nil:
		return nil
	}
	if !r.matches(body, !c.checked) {
		return fmt.Errorf("%w: another body, of %d bytes", errReply, len(body))
	}
	c.checked, c.read = true, 0
	r.last = time.Now()
	r.latencies.add(r.last.Sub(c.sent))
	if r.Requests > 0 && r.sent >= r.Requests || r.Duration > 0 && r.last.Sub(began) >= r.Duration {
		return nil
	}
	return r.send(c, r.last)
}
