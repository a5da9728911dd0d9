package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"hearth/internal/clock"
	"hearth/internal/settings"
	"hearth/pool/odoo"
	"hearth/pool/weaviate"
)

// loadForCommand makes what a command needs. The command itself prints faults and warnings, so the log has only errors.
func loadForCommand(environ []string, stderr io.Writer, options Options) (settings.Settings, *app, error) {
	s, err := commandSettings(environ)
	if err != nil {
		return s, nil, err
	}
	a := newApp(s, clock.Awake(), stderr, options)
	if err = a.addUpstreams(s); err != nil {
		a.close()
	}
	return s, a, err
}

// commandSettings reads the settings for a command.
func commandSettings(environ []string) (settings.Settings, error) {
	s, err := readSettings(environ)
	if err != nil {
		return s, fmt.Errorf("the configuration is wrong:\n%w", err)
	}
	if s.LogLevel == slog.LevelInfo {
		s.LogLevel = slog.LevelError
	}
	s.InitType = "" // a command is in no snapshot
	return s, nil
}

// check asks every question that requests will ask and prints a line for each, with what to set where one fails.
func check(ctx context.Context, environ []string, out, stderr io.Writer, options Options) error {
	s, a, err := loadForCommand(environ, stderr, options)
	if err != nil {
		return err
	}
	defer a.close()
	for _, name := range s.Unknown {
		fmt.Fprintf(out, "warning: unknown variable %s\n", name)
	}
	var failed []error
	report := func(upstream, address string, findings []weaviate.Finding) {
		fmt.Fprintln(out, findingLine(upstream, weaviate.Finding{Question: "way", Verdict: weaviate.OK, Detail: a.way(upstream)}))
		ok := true
		for _, f := range append(a.checkSecrets(ctx, upstream), findings...) {
			fmt.Fprintln(out, findingLine(upstream, f))
			ok = ok && f.Verdict != weaviate.Failed
		}
		if ok {
			fmt.Fprintf(out, "%s: ok (%s)\n", upstream, address)
			return
		}
		failed = append(failed, fmt.Errorf("%s: see above", upstream))
	}
	if a.weaviate == nil {
		fmt.Fprintln(out, "weaviate: not configured (HEARTH_WEAVIATE_URL)")
	} else {
		report("weaviate", s.WeaviateURL, a.weaviate.Check(ctx))
	}
	if a.odoo == nil {
		fmt.Fprintln(out, "odoo: not configured (HEARTH_ODOO_URL)")
	} else {
		report("odoo", s.OdooURL, checkOdoo(ctx, a.odoo, s.OdooModels))
	}
	if a.weaviate == nil && a.odoo == nil {
		return errors.New("nothing to check")
	}
	return errors.Join(failed...)
}

// way says how connections reach an upstream: directly, or through which proxy.
func (a *app) way(upstream string) string {
	ways := map[string]bool{}
	var each []string
	for _, p := range a.pools {
		if p.Name() == upstream {
			ways[p.Way()] = true
			each = append(each, p.BaseURL()+" "+p.Way())
		}
	}
	if len(ways) == 1 {
		return slices.Collect(maps.Keys(ways))[0]
	}
	return strings.Join(each, ", ")
}

// findingLine is a finding in one line for people. What Weaviate says may have several.
func findingLine(upstream string, f weaviate.Finding) string {
	detail := strings.Join(strings.Fields(f.Detail), " ")
	switch {
	case f.Verdict == weaviate.OK && detail != "":
		detail = " (" + detail + ")"
	case detail != "":
		detail = ": " + detail
	}
	return fmt.Sprintf("%s: %s: %s%s", upstream, f.Question, f.Verdict, detail)
}

// checkOdoo connects to Odoo and asks for each model once.
func checkOdoo(ctx context.Context, client *odoo.Client, models []string) (findings []weaviate.Finding) {
	say := func(question string, v weaviate.Verdict, detail string) {
		findings = append(findings, weaviate.Finding{Question: question, Verdict: v, Detail: detail})
	}
	state, err := client.Check(ctx)
	if err != nil {
		say("server", weaviate.Failed, strings.TrimPrefix(err.Error(), "odoo: "))
		return findings
	}
	say("server", weaviate.OK, fmt.Sprintf("Odoo %s over %s, user %d, language %s", state.Version, state.Protocol, state.UID, cmp.Or(state.Lang, "en_US")))
	for _, name := range models {
		m, err := client.Model(ctx, name)
		var fields map[string]json.RawMessage
		if err == nil {
			err = json.Unmarshal(m.Fields, &fields)
		}
		if err != nil {
			say("model "+name, weaviate.Failed, strings.TrimPrefix(err.Error(), "odoo: "))
		} else {
			say("model "+name, weaviate.OK, fmt.Sprintf("%s, %d fields", m.Name, len(fields)))
		}
	}
	return findings
}
