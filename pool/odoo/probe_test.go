package odoo

import (
	"net/http"
	"testing"

	"hearth/internal/testing/pooltest"
	"hearth/internal/testing/testnet"
	"hearth/pool"
)

// A probe connects too, and calls wait for that.
func TestNoCallWaitsForAProbe(t *testing.T) {
	pooltest.NoCallWaitsForAProbe(t, testnet.Config{}, http.StatusBadGateway, func(b *pool.Breaker, url string) pooltest.Client {
		c := newClient(pooltest.NewPool(t, b, url, false), Config{DB: "demo", Key: key, Protocol: JSON2})
		return pooltest.Client{Call: c.Ping, Probe: c.Ping}
	})
}
