package testnet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// certificates are what a server may present.
type certificates struct {
	good, expired tls.Certificate // signed by ca
	stranger      tls.Certificate // signed by another authority
	ca            []byte          // PEM
}

// newCertificates makes certificates for this machine's loopback names and for names. It keeps no key of an authority, so no other
// certificate can be signed later.
func newCertificates(names []string) (c certificates, err error) {
	fail := func(err error) (certificates, error) {
		return certificates{}, fmt.Errorf("testnet: certificate: %w", err)
	}
	trusted, err := newAuthority()
	if err != nil {
		return fail(err)
	}
	other, err := newAuthority()
	if err != nil {
		return fail(err)
	}
	c.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trusted.cert.Raw})
	// From a day ago, because clocks differ; for ten years, which is longer than any test.
	from, to := time.Now().AddDate(0, 0, -1), time.Now().AddDate(10, 0, 0)
	var goodErr, expiredErr, strangerErr error
	c.good, goodErr = trusted.sign(names, from, to)
	c.expired, expiredErr = trusted.sign(names, from.AddDate(-1, 0, 0), from)
	c.stranger, strangerErr = other.sign(names, from, to)
	if err := errors.Join(goodErr, expiredErr, strangerErr); err != nil {
		return fail(err)
	}
	return c, nil
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority() (a authority, err error) {
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return a, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Hearth test authority"},
		NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		return a, err
	}
	// Only the finished certificate has a key identifier for a leaf to name: without it OpenSSL takes the first of
	// several authorities, which are all called alike.
	a.cert, err = x509.ParseCertificate(der)
	return a, err
}

func (a authority) sign(names []string, from, to time.Time) (cert tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: append([]string{"localhost"}, names...), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.cert, &key.PublicKey, a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
