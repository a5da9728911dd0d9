package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"hearth/internal/clock"
)

// prepare makes what a command needs. A person is told, not a log.
func prepare(environ []string) (settings, parts, error) {
	s, err := readSettings(environ)
	if err != nil {
		return s, parts{}, fmt.Errorf("the configuration is wrong:\n%w", err)
	}
	if s.LogLevel == slog.LevelInfo {
		s.LogLevel = slog.LevelWarn
	}
	p, err := build(s, clock.Awake(), os.Stderr)
	return s, p, err
}

// check tells a person what is wrong with the configuration and the upstreams, everything at once.
func check(ctx context.Context, environ []string, out io.Writer) error {
	s, p, err := prepare(environ)
	if err != nil {
		return err
	}
	defer p.close()
	for _, name := range s.unknown {
		fmt.Fprintf(out, "warning: %s means nothing\n", name)
	}
	var faults []error
	if p.weaviate == nil && p.odoo == nil {
		faults = append(faults, errors.New("nothing to check"))
	}
	say := func(upstream, url string, err error) {
		if err == nil {
			fmt.Fprintf(out, "%s: ok (%s)\n", upstream, url)
			return
		}
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(out, "%s: %s\n", upstream, strings.TrimPrefix(strings.TrimSpace(line), upstream+": "))
		}
		faults = append(faults, fmt.Errorf("%s: see above", upstream))
	}
	if p.weaviate == nil {
		fmt.Fprintln(out, "weaviate: not configured (HEARTH_WEAVIATE_URL)")
	} else {
		err := p.weaviate.Ready(ctx)
		if err == nil {
			err = p.weaviate.Check(ctx)
		}
		say("weaviate", s.WeaviateURL, err)
	}
	if p.odoo == nil {
		fmt.Fprintln(out, "odoo: not configured (HEARTH_ODOO_URL)")
	} else {
		say("odoo", s.OdooURL, p.odoo.Ping(ctx))
	}
	return errors.Join(faults...)
}

// createSchema creates the classes that are missing.
func createSchema(ctx context.Context, environ []string, out io.Writer) error {
	_, p, err := prepare(environ)
	if err != nil {
		return err
	}
	defer p.close()
	if p.weaviate == nil {
		return errors.New("HEARTH_WEAVIATE_URL is not set")
	}
	created, err := p.weaviate.CreateClasses(ctx)
	for _, name := range created {
		fmt.Fprintln(out, "created", name)
	}
	if err == nil && len(created) == 0 {
		fmt.Fprintln(out, "every class exists")
	}
	return err
}
