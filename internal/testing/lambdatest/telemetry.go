package lambdatest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// telemetryEvent is what has happened on the platform.
type telemetryEvent struct {
	kind, requestID string
	json            json.RawMessage
}

// emitLocked records an event for the subscribers; while INIT lasts, for those that are still to come, too.
func (h *Host) emitLocked(kind, requestID string, record map[string]any) {
	if h.subscriptions == 0 && !h.init.ended.IsZero() {
		return
	}
	if requestID != "" {
		record["requestId"] = requestID
	}
	b, err := json.Marshal(map[string]any{
		"time": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "type": kind, "record": record,
	})
	if err != nil {
		panic(err) // Strings and numbers only.
	}
	h.events = append(h.events, telemetryEvent{kind, requestID, b})
}

func (h *Host) emitInitLocked(kind string, record map[string]any) {
	record["initializationType"], record["phase"] = h.cfg.Init, "init"
	h.emitLocked(kind, "", record)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// subscription is what an extension asks the Telemetry API for.
type subscription struct {
	SchemaVersion string
	Types         []string
	Buffering     struct{ MaxItems, MaxBytes, TimeoutMs int }
	Destination   struct{ Protocol, URI string }
}

// parseSubscription reads a subscription that Lambda would accept, with its defaults. In the result, the URI has an address that
// the host can reach.
func parseSubscription(r *http.Request, init InitType) (s subscription, err error) {
	s.Buffering.MaxItems, s.Buffering.MaxBytes, s.Buffering.TimeoutMs = 10_000, 256<<10, 1000
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		return s, err
	}
	versions := []string{"2025-01-29", "2022-12-13", "2022-07-01"}
	if init == ManagedInstances {
		versions = versions[:1]
	}
	if !slices.Contains(versions, s.SchemaVersion) {
		err = errors.Join(err, fmt.Errorf("schemaVersion: %q is none of %q", s.SchemaVersion, versions))
	}
	unknown := func(kind string) bool { return kind != "platform" && kind != "function" && kind != "extension" }
	if len(s.Types) == 0 || slices.ContainsFunc(s.Types, unknown) {
		err = errors.Join(err, fmt.Errorf("types: %q", s.Types))
	}
	for _, b := range []struct {
		name           string
		n, least, most int
	}{
		{"maxItems", s.Buffering.MaxItems, 1000, 10_000},
		{"maxBytes", s.Buffering.MaxBytes, 256 << 10, 1 << 20},
		{"timeoutMs", s.Buffering.TimeoutMs, 25, 30_000},
	} {
		if b.n < b.least || b.n > b.most {
			err = errors.Join(err, fmt.Errorf("buffering: %s is %d, not from %d to %d", b.name, b.n, b.least, b.most))
		}
	}
	u, urlErr := url.Parse(s.Destination.URI)
	if s.Destination.Protocol != "HTTP" || urlErr != nil || u.Scheme != "http" || u.Port() == "" || u.Port() == "9001" ||
		!slices.Contains([]string{"sandbox.localdomain", "sandbox", "127.0.0.1"}, u.Hostname()) {
		return s, errors.Join(err, fmt.Errorf("destination: %+v is not HTTP to http://sandbox.localdomain:PORT", s.Destination))
	}
	u.Host = "127.0.0.1:" + u.Port()
	s.Destination.URI = u.String()
	return s, err
}

// subscribe accepts a subscription while INIT lasts, and serves it until ctx ends.
func (h *Host) subscribe(ctx context.Context, w http.ResponseWriter, r *http.Request, e *extension) {
	if status := h.cfg.TelemetryStatus; status == http.StatusAccepted || status == 0 && h.profile.noTelemetry {
		fail(w, http.StatusAccepted, "Telemetry.NotSupported", "Telemetry API is not supported")
		return
	} else if status != 0 {
		fail(w, status, "Telemetry.Refused", http.StatusText(status))
		return
	}
	s, err := parseSubscription(r, h.cfg.Init)
	if err != nil {
		fail(w, http.StatusBadRequest, "ValidationError", err.Error())
		return
	}
	open, first, resets := false, 0, 0
	h.update(func() {
		first, resets = h.eventsBefore, h.resets
		if open = h.init.ended.IsZero(); open {
			h.subscriptions++
			h.emitLocked("platform.telemetrySubscription", "", map[string]any{"name": e.name, "state": "Subscribed", "types": s.Types})
		}
	})
	if !open {
		fail(w, http.StatusForbidden, "Telemetry.SubscriptionClosed", "Telemetry API subscription is closed")
		return
	}
	h.wg.Go(func() { h.serveTelemetry(ctx, s, first, resets) })
	reply(w, http.StatusOK, "OK")
}

// serveTelemetry sends the events of the platform from the first one on in batches, and repeats each batch until the subscriber accepts
// it. It ends at the next reset, which is the subscriber's end.
func (h *Host) serveTelemetry(ctx context.Context, s subscription, first, resets int) {
	client := &http.Client{Transport: &http.Transport{Proxy: nil}}
	defer client.CloseIdleConnections()
	timeout := time.Duration(s.Buffering.TimeoutMs) * time.Millisecond
	ended := func() error {
		if h.resets > resets {
			return ErrReset
		}
		return nil
	}
	for seen := first; ; {
		if h.await(ctx, func() (bool, error) { return len(h.events) > seen, ended() }) != nil {
			return
		}
		buffering, cancel := context.WithTimeout(ctx, timeout)
		_ = h.await(buffering, func() (bool, error) { return s.fullLocked(h.events[seen:]), nil })
		cancel()
		h.mu.Lock()
		events := h.events[seen:]
		seen = len(h.events)
		h.mu.Unlock()
		batch := s.batch(events, h.cfg.LoseEvent)
		for batch != nil && h.Resets() == resets && s.send(ctx, client, batch) != nil {
			select {
			case <-time.After(timeout):
			case <-ctx.Done():
				return
			}
		}
	}
}

func (s subscription) fullLocked(events []telemetryEvent) bool {
	bytes := 0
	for _, ev := range events {
		bytes += len(ev.json)
	}
	return len(events) >= s.Buffering.MaxItems || bytes >= s.Buffering.MaxBytes
}

// batch is the JSON of the events that the subscriber wants and that are not to be lost. nil: there are none.
func (s subscription) batch(events []telemetryEvent, lose func(kind, requestID string) bool) []byte {
	var kept []json.RawMessage
	for _, ev := range events {
		if slices.Contains(s.Types, "platform") && (lose == nil || !lose(ev.kind, ev.requestID)) {
			kept = append(kept, ev.json)
		}
	}
	if kept == nil {
		return nil
	}
	b, err := json.Marshal(kept)
	if err != nil {
		panic(err) // It was JSON before.
	}
	return b
}

func (s subscription) send(ctx context.Context, client *http.Client, batch []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Destination.URI, bytes.NewReader(batch))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return errors.New(resp.Status)
	}
	return nil
}
