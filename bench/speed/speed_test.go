package speed

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"hearth/bench/load"
	"hearth/bench/result"
)

// twin answers as if the machine became slower with every round, and Hearth needed twice the time.
type twin struct {
	order []string
}

func (t *twin) Run(job load.Job) (load.Report, error) {
	t.order = append(t.order, job.Address)
	if job.Address == "down" {
		return load.Report{}, errors.New("it is down")
	}
	round := (len(t.order) - 1) / 3
	report := load.Report{Requests: 1000 / (round + 1), Seconds: 1, P50: 10, P99: 40, P999: 50}
	if job.Address == "hearth" {
		report.Seconds, report.P99 = 2, 60
	}
	if job.Connections != 10 || job.Duration != time.Second {
		return load.Report{}, errors.New("another job")
	}
	return report, nil
}

func contenders(names ...string) (list []contender) {
	for _, name := range names {
		list = append(list, contender{name, load.Job{Address: name}})
	}
	return list
}

func value(t *testing.T, lines []result.Line, name string) float64 {
	t.Helper()
	i := slices.IndexFunc(lines, func(l result.Line) bool { return l.Name == name })
	if i < 0 {
		t.Fatalf("no line %s in %v", name, lines)
	}
	return lines[i].Value
}

func TestRoundsArePaired(t *testing.T) {
	answers := &twin{}
	lines, err := contest{"hit", "tcp", contenders("hearth", "bare", "nginx")}.run(answers, 10, 15, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"hit_vs_bare_tcp_10": 0.5, "hit_vs_nginx_tcp_10": 0.5, "hit_p99_vs_bare_tcp_10": 1.5, "bare_hit_vs_nginx_tcp_10": 1,
		"bare_hit_p50_tcp_10": 10, "nginx_hit_p999_tcp_10": 50,
	} {
		if got := value(t, lines, name); got != want {
			t.Errorf("%s is %v and not %v", name, got, want)
		}
	}
	first := map[string]int{}
	for i := 0; i < len(answers.order); i += 3 {
		first[answers.order[i]]++
		if round := slices.Sorted(slices.Values(answers.order[i : i+3])); !slices.Equal(round, []string{"bare", "hearth", "nginx"}) {
			t.Errorf("round %d has %v", i/3, round)
		}
	}
	if len(answers.order) != 16*3 || first["hearth"] < 5 || first["bare"] < 5 || first["nginx"] < 5 {
		t.Errorf("%d jobs; how often each was the first: %v", len(answers.order), first)
	}
}

func TestAFaultNamesTheServer(t *testing.T) {
	_, err := contest{"hit", "tcp", contenders("hearth", "down")}.run(&twin{}, 10, 15, time.Second)
	if err == nil || !strings.Contains(err.Error(), "down hit tcp: it is down") {
		t.Errorf("the error is %v", err)
	}
}

func TestLeast(t *testing.T) {
	lines := []result.Line{
		result.Single("hit_vs_nginx_tcp_1", 1.2, "ratio"), result.Single("hit_vs_nginx_tcp_10", 0.9, "ratio"),
		result.Single("hit_vs_redis_tcp_10", 0.1, "ratio"),
	}
	if got := least(lines, "hit_vs_nginx"); got.Name != "hit_vs_nginx" || got.Value != 0.9 {
		t.Errorf("%v", got)
	}
}
