package servers

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"testing"
)

func TestNginxServesBothPortsOfWeaviateOverTLS(t *testing.T) {
	w := startWeaviate(t, WeaviateConfig{})
	message := place{class: "Message"}
	w.createClass(t, message.class, "")
	n, err := StartNginx(t.Context(), t.TempDir(), NginxConfig{Weaviate: w.URL, WeaviateGRPC: w.GRPCURL})
	supportedHere(t, err)
	t.Cleanup(n.Stop)
	pem, err := os.ReadFile(n.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}

	ask := func() {
		t.Helper()
		if _, err := search(t.Context(), client, n.WeaviateGRPCURL, "", message, 10); err != nil {
			t.Error(err)
		}
		res, err := client.Get(n.WeaviateURL + "/v1/.well-known/ready")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK || res.Proto != "HTTP/1.1" {
			t.Errorf("REST: %s %s", res.Proto, res.Status)
		}
	}
	ask()
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	transport.CloseIdleConnections()
	if _, err := search(t.Context(), client, n.WeaviateGRPCURL, "", message, 10); err == nil {
		t.Error("nginx answers after it was killed")
	}
	if err := n.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask()
}
