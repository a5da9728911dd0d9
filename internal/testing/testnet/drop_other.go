//go:build !linux

package testnet

import (
	"errors"
	"net"
)

func dropAll(*net.TCPConn) error { return errors.ErrUnsupported }
