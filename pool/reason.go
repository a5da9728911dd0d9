package pool

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"hearth/pool/conn"
)

// Address names the upstream's address by the variable that holds it: "HEARTH_WEAVIATE_URL (https://…)".
func (p *Pool) Address() string {
	if p.cfg.Variable == "" {
		return p.base
	}
	return fmt.Sprintf("%s (%s)", p.cfg.Variable, p.base)
}

// Explain says in plain words which upstream did not answer, where, and why.
func (e *Error) Explain() string {
	if open, ok := errors.AsType[*openError](e.Err); ok {
		return fmt.Sprintf("too many of the last calls to %s at %s have failed, so it is not asked for now: %s",
			e.Upstream, cmp.Or(e.Address, "its address"), Reason(open.why))
	}
	if secret, ok := errors.AsType[*SecretError](e.Err); ok {
		return secret.Error()
	}
	return fmt.Sprintf("no answer from %s at %s: %s", e.Upstream, cmp.Or(e.Address, "its address"), Reason(e.Err))
}

// ProxyError is a connection that the forward proxy did not make.
type ProxyError = conn.ProxyError

// Way says in plain words how connections reach the upstream.
func (p *Pool) Way() string {
	if p.cfg.Proxy == nil {
		return "directly"
	}
	return "through the proxy " + conn.Address(p.cfg.Proxy)
}

// Reason says in plain words why no answer came, and what is to be looked at.
func Reason(err error) string {
	if e, ok := errors.AsType[*ProxyError](err); ok {
		switch e.Status {
		case 0:
			return "the proxy " + e.Proxy + ": " + Reason(e.Err)
		case http.StatusProxyAuthRequired:
			return e.Error() + " (are user and password in HEARTH_PROXY or HTTPS_PROXY right?)"
		}
		return e.Error()
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its certificate is of an authority that is not known here: HEARTH_TLS_CA names further ones"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "it speaks no TLS: is it http:// in place of https://, or another port?"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return "its host is not known"
	}
	text := err.Error()
	has := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: is the port right?"
	case errors.Is(err, conn.ErrClosedAtOnce), has("client conn could not be established"):
		return "it closes connections at once: does it speak TLS, or HTTP/2 where gRPC is expected, as the address says?"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		has("client connection lost"):
		return "the connection broke before the answer was there"
	case errors.Is(err, context.DeadlineExceeded):
		return "there was no answer in time"
	case has("no application protocol"):
		return "it speaks TLS but not HTTP/2, which gRPC needs"
	case has("frame too large"), has("HTTP/1.1 header"):
		return "it does not speak HTTP/2, which gRPC needs: is this the port of REST, or of TLS?"
	case has("malformed HTTP response"):
		return "it does not speak HTTP/1.1: is this the port of gRPC?"
	}
	return text
}
