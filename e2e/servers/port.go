package servers

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// freePorts returns n consecutive loopback ports on which nobody listens. They are below the range from which the kernel
// takes ports for connections, so that no connection takes one before the server listens.
func freePorts(n int) ([]int, error) {
	for range 1000 {
		var ports []int
		for port := 20000 + rand.IntN(12000-n); len(ports) < n && free(port); port++ {
			ports = append(ports, port)
		}
		if len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("servers: no %d free ports in a row on 127.0.0.1", n)
}

func free(port int) bool {
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func address(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
