package main

import (
	"errors"
	"fmt"
	"io"

	"hearth/client"
	"hearth/internal/testing/lab"
)

// hitRates prints what /debug/cache says.
func hitRates(out io.Writer, s *client.CacheStats) error {
	w := lab.NewTable(out, "hits\tmisses\thit rate\t")
	row := func(name string, c client.CacheCounts) {
		if c.Hits+c.Stale+c.Misses > 0 {
			w.Row("%d\t%d\t%.1f %%\t  %s", c.Hits+c.Stale, c.Misses, 100*c.HitRatio, name)
		}
	}
	for _, name := range []string{"history", "mute", "relevant", "odoo_models", "odoo_read"} {
		row(name, s.Resources[name])
	}
	row("all", s.CacheCounts)
	return w.Flush()
}

// connections prints how many connections /debug/pools says were opened.
func connections(out io.Writer, pools client.Pools) error {
	rest, grpc := pools["weaviate"].REST, pools["weaviate"].GRPC
	odoo, configured := pools["odoo"]
	if rest == nil || grpc == nil || !configured {
		return fmt.Errorf("/debug/pools: not all pools are there: %+v", pools)
	}
	_, err := fmt.Fprintf(out, "The cold start and the first preprocess opened %d connections: %d to Weaviate over REST, %d over gRPC, %d to Odoo.\n",
		rest.Dials+grpc.Dials+odoo.Dials, rest.Dials, grpc.Dials, odoo.Dials)
	return err
}

var errPromise = errors.New("what Hearth promises did not hold")

// mostRoundTrips is what a cold preprocess may take beside the servers' time. A round trip is what one took in this run.
const mostRoundTrips = 1.1

// verdict says what Hearth promises, and returns an error if it did not hold.
func (d *demo) verdict(out io.Writer) (err error) {
	fmt.Fprintln(out, "Held to, by the medians of this run:")
	hold := func(kept bool, format string, args ...any) {
		line := "  " + fmt.Sprintf(format, args...)
		if !kept {
			line, err = line+": MISSED", errPromise
		}
		fmt.Fprintln(out, line)
	}
	for _, want := range []struct {
		v, base *variant
		least   float64
	}{{d.f, d.a, 99.9}, {d.d, d.a, 93}, {d.d, d.b, 70}} {
		got := want.v.Less(&want.base.Way)
		hold(got >= want.least, "%.3s takes %.2f %% less than %.3s: at least %v %% is wanted", want.v.Name, got, want.base.Name, want.least)
	}
	trip := d.trips.Median()
	trips := d.d.beyond.Median() / trip
	hold(trips <= mostRoundTrips, "%.3s takes %.2f round trips of %.1f ms beside the servers' time: at most %v are wanted",
		d.d.Name, trips, trip, mostRoundTrips)
	return err
}
