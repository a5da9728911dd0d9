package miss

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"hearth/bench/rig"
)

// directRead asks Odoo what Hearth asks for a read.
type directRead struct {
	transport *http.Transport
	url       string
	question
}

func newDirectRead(ctx context.Context, r *rig.Rig) (*directRead, error) {
	asked, err := record(ctx, r, "HEARTH_ODOO_URL", r.Upstreams.Odoo, false, rig.FreshRead())
	if err != nil {
		return nil, err
	}
	if len(asked) != 1 {
		return nil, fmt.Errorf("a read asks %d questions and not 1", len(asked))
	}
	return &directRead{newTransport(false), r.Upstreams.Odoo + asked[0].path, asked[0]}, nil
}

func (d *directRead) close() { d.transport.CloseIdleConnections() }

func (d *directRead) ask(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(d.body))
	if err != nil {
		return err
	}
	req.Header = d.header
	resp, err := d.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var records []json.RawMessage
	err = json.NewDecoder(resp.Body).Decode(&records)
	if err == nil && (resp.StatusCode != http.StatusOK || len(records) == 0) {
		err = fmt.Errorf("odoo: %s with %d records", resp.Status, len(records))
	}
	return err
}
