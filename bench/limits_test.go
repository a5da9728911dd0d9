package main

import (
	"errors"
	"math"
	"strings"
	"testing"

	"hearth/bench/result"
)

func TestVerdicts(t *testing.T) {
	all, err := limits()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		value float64
		want  verdict
	}{
		{"hit_vs_bare_tcp_1", 0.9, kept},
		{"hit_vs_bare_unix_64", 0.899, missed},
		{"hit_vs_bare_tcp_10", 0.75, missed},
		{"hit_vs_bare_tcp_10", 0.714, broken},
		{"hit_vs_bare_tcp_10", math.NaN(), broken},
		{"hit_p99_vs_bare_tcp_64", 1.5, kept},
		{"hit_p99_vs_bare_tcp_64", 1.6, missed},
		{"hit_p99_vs_bare_tcp_64", 400, broken},
		{"hit_vs_nginx", 1.001, kept},
		{"hit_vs_nginx_tcp_10", 1, missed},
		{"hit_vs_redis", 0.8, kept},
		{"hit_vs_redis", 0.1, missed},
		{"held_preprocess_vs_bare_tcp_1", 0.75, kept},
		{"held_preprocess_vs_bare_tcp_1", 0.4, missed},
		{"held_preprocess_vs_bare_tcp_1", 0.38, broken},
		{"hit_allocs", 0.009, kept},
		{"hit_allocs", 0.011, broken},
		{"hit_allocs", 0.02, broken},
		{"held_preprocess_allocs", 10, broken},
		{"miss_overhead_us", 200, kept},
		{"miss_overhead_us", 201, missed},
		{"miss_odoo_overhead_us", 201, missed},
		{"start_vs_linked", 1.2, kept},
		{"rss_idle_mib", 25.1, missed},
		{"python_import_ms", 15, kept},
		{"python_import_ms", 15.1, missed},
	} {
		line := result.Single(c.name, c.value, "")
		l, ok := of(all, line)
		if !ok {
			t.Errorf("%s has no limit", c.name)
			continue
		}
		if got := l.judge(line); got != c.want {
			t.Errorf("%v is %s and not %s (%v)", line, got, c.want, l)
		}
	}
	for _, name := range []string{"hearth_hit_rate_tcp_1", "hit_p99_vs_nginx_tcp_1", "start_vs_bare", "miss_direct_us"} {
		if l, ok := of(all, result.Single(name, 0, "")); ok {
			t.Errorf("%s has the limit %v", name, l)
		}
	}
}

func TestAllocsFile(t *testing.T) {
	got, err := readAllocs("# a remark\n\nhit_allocs 0.25\n")
	if err != nil || len(got) != 1 || got["hit_allocs"] != 0.25 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := readAllocs("hit_allocs few\n"); err == nil || !strings.Contains(err.Error(), "hit_allocs") {
		t.Errorf("the error is %v", err)
	}
}

func TestTheRunFailsOnAFloorAlone(t *testing.T) {
	all, err := limits()
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[float64]error{0.9: nil, 0.8: nil, 0.5: errFloor} {
		var out strings.Builder
		if err := judge(&out, all, []result.Line{result.Single("hit_vs_bare_tcp_1", value, "ratio")}); !errors.Is(err, want) {
			t.Errorf("%v: the error is %v and not %v", value, err, want)
		}
		if !strings.Contains(out.String(), "hit_vs_bare_tcp_1") {
			t.Errorf("%v: the verdict is not printed: %s", value, out.String())
		}
	}
}

func TestChoose(t *testing.T) {
	all := measurements()
	if got, err := choose(all, ""); err != nil || len(got) != len(all) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := choose(all, "allocs,speed"); err != nil || len(got) != 2 || got[0].name != "allocs" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := choose(all, "sped"); err == nil || !strings.Contains(err.Error(), `"sped"`) {
		t.Errorf("the error is %v", err)
	}
}

func TestALimitThatWasNotMeasuredFailsARunOfAll(t *testing.T) {
	all, err := limits()
	if err != nil {
		t.Fatal(err)
	}
	var lines []result.Line
	for _, name := range []string{
		"hit_vs_bare_tcp_1", "hit_p99_vs_bare_tcp_1", "held_preprocess_vs_bare_tcp_1", "hit_allocs", "held_preprocess_allocs",
	} {
		if err := unmeasured(all, lines); err == nil {
			t.Errorf("before %s nothing is missing", name)
		}
		lines = append(lines, result.Single(name, 1, ""))
	}
	if err := unmeasured(all, lines); err != nil {
		t.Error(err)
	}
}

func TestAFloorIsBrokenIfTheBetterQuartileIsBeyondIt(t *testing.T) {
	all, err := limits()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line result.Line
		want verdict
	}{
		{result.Line{Name: "hit_vs_bare_tcp_1", Value: 0.74, Low: 0.7, High: 0.72}, missed},
		{result.Line{Name: "hit_vs_bare_tcp_1", Value: 0.74, Low: 0.7, High: 0.714}, broken},
		{result.Line{Name: "hit_p99_vs_bare_tcp_1", Value: 5, Low: 4.1, High: 6}, missed},
		{result.Line{Name: "hit_p99_vs_bare_tcp_1", Value: 5, Low: 4.3, High: 6}, broken},
	} {
		if l, _ := of(all, c.line); l.judge(c.line) != c.want {
			t.Errorf("%+v is %s", c.line, l.judge(c.line))
		}
	}
}
