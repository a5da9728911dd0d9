package handlers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hearth/bench/rig"
	"hearth/client"
	"hearth/internal/testing/lab"
	"hearth/internal/testing/lab/direct"
)

const text = "Where is parcel number 12?"

// world is a chat in upstreams at some distance, a Hearth that holds it, and a handler in Python. Close it.
type world struct {
	upstreams *lab.Upstreams
	hearth    *rig.Hearth
	client    *client.Client
	python    *python // nil: there is no interpreter
	chat      string
	stages    [][]direct.Call // of a preprocess without Hearth
}

func startWorld(ctx context.Context, r *rig.Rig, rtt time.Duration, interpreter string) (w *world, err error) {
	dir := filepath.Join(r.Dir, "handlers"+rtt.String())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	w = &world{chat: lab.ChatID(1)}
	if w.upstreams, err = lab.StartUpstreams(dir, lab.UpstreamsConfig{RTT: rtt}); err != nil { //nolint:contextcheck // their life ends with close
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if err := lab.MakeClasses(ctx, r.Hearth, w.upstreams.Settings()); err != nil {
		return w, err
	}
	if err := direct.StoreChat(w.upstreams, 1); err != nil { //nolint:contextcheck // a row is stored in any case, and its client has a timeout
		return w, err
	}
	w.stages = direct.AllAtOnce(direct.Preprocess(w.upstreams, w.chat, text))
	if w.hearth, err = r.StartHearth(ctx, r.Hearth, w.upstreams.Settings()...); err != nil {
		return w, err
	}
	if w.client, err = w.newClient(); err != nil {
		return w, err
	}
	if err := w.hold(ctx); err != nil {
		return w, w.hearth.Failed(err)
	}
	if interpreter != "" {
		w.python, err = w.startPython(ctx, r, interpreter)
	}
	return w, err
}

func (w *world) close() error {
	if w.python != nil {
		w.python.process.Stop()
	}
	if w.client != nil {
		w.client.Close()
	}
	if w.hearth != nil {
		w.hearth.Stop()
	}
	return w.upstreams.Close()
}

// newClient makes the client of a handler in Go.
func (w *world) newClient() (*client.Client, error) {
	return client.New(client.Config{Socket: w.hearth.Socket, Token: rig.Token})
}

// hold asks for everything twice. The second time, Hearth must hold it.
func (w *world) hold(ctx context.Context) error {
	for range 2 {
		p, err := w.preprocess(ctx, w.client)
		if err != nil {
			return err
		}
		if len(p.Errors) > 0 || len(p.History.AllMessages) != 20 || len(p.RelevantMessages) != 5 || len(p.OdooModels) != 1 {
			return fmt.Errorf("the preprocess is not whole: %+v", p)
		}
	}
	return errors.Join(w.history(ctx, w.client), w.heldPreprocess(ctx, w.client))
}
