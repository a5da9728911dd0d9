package document

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hearth/bench/result"
)

func lines() []result.Line {
	return []result.Line{
		{Name: "hit_vs_bare_tcp_1", Value: 0.91, Unit: "ratio", Low: 0.9, High: 0.92},
		{Name: "hearth_hit_rate_tcp_1", Value: 90000, Unit: "requests/s", Low: 80000, High: 95000},
		result.Single("hearth_hit_p50_tcp_1", 11, "µs"),
		result.Single("hearth_hit_p99_tcp_1", 99, "µs"),
		result.Single("hearth_hit_rate_tcp_64", 95000, "requests/s"),
		result.Single("bare_hit_rate_tcp_1", 100000, "requests/s"),
		result.Single("handlers_go_rate_1", 7000, "calls/s"),
		result.Single("handlers_go_rate_256", 80000, "calls/s"),
		result.Single("handlers_go_p99_us_256", 1500, "µs"),
		result.Single("python_hit_us", 64, "µs"),
		result.Single("start_ms", 8, "ms"),
		result.Single("miss_direct_us", 200, "µs"),
		result.Single("hit_p99_vs_bare_tcp_1", 1.1, "ratio"),
		result.Single("hit_allocs", 0.001, "objects/request"),
	}
}

func write(t *testing.T, old string) (text string, folder string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	run := Run{
		Command: "make bench", Commit: "abc", Machine: []string{"a CPU", "2 cores"}, Versions: []string{"Go 1"}, Lines: lines(),
		Judged: []Judged{{lines()[0], ">= 0.9", "kept"}},
	}
	for range 2 { // the second time replaces the first
		if err := Write(path, run); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(out), filepath.Join(filepath.Dir(path), "benchmarks")
}

func TestWhatIsWrittenByHandIsKept(t *testing.T) {
	text, _ := write(t, "# Title\n"+beginMark+"\nold numbers\n"+endMark+"\n\nby hand\n")
	if !strings.HasPrefix(text, "# Title\n") || !strings.HasSuffix(text, endMark+"\n\nby hand\n") {
		t.Errorf("something outside the marks has changed:\n%s", text)
	}
	if strings.Contains(text, "old numbers") {
		t.Error("the old numbers are still there")
	}
}

func TestEveryLineIsThereOnce(t *testing.T) {
	text, _ := write(t, beginMark+endMark)
	for what, want := range map[string]int{
		"| `hit_vs_bare_tcp_1` | 0.910 | 0.900 to 0.920 | >= 0.9 | kept |":                                                   1,
		"| tcp | 1 | hearth | 90000 | 80000 to 95000 | 11.0 | 99.0 |  |":                                                     1,
		"| tcp | 64 | hearth | 95000 |  |  |  |  |":                                                                          1,
		"| tcp | 1 | bare | 100000 |  |  |  |  |":                                                                            1,
		"| go | 256 | 80000 |  | 1500 |":                                                                                     1,
		"### One handler\n\n| number | measured | half of the rounds |\n|---|--:|--:|\n| `python_hit_us` | 64.0 µs |  |\n\n": 1,
		"### Start\n\n| number | measured | half of the rounds |\n|---|--:|--:|\n| `start_ms` | 8.000 ms |  |\n\n":           1,
		"| `hit_p99_vs_bare_tcp_1` | 1.100 |  |":                                                                             1,
		"| `miss_direct_us` | 200.0 µs |  |":                                                                                 1,
		"| `hit_allocs` | 0.001 objects/request |  |":                                                                        1,
		"| `hit_vs_bare_tcp_1` | 0.910 | 0.900 to 0.920 |\n":                                                                 0, // it stands among the limits
		"Commit `abc`, by `make bench`, on a CPU, 2 cores. Versions: Go 1.":                                                  1,
	} {
		if got := strings.Count(text, what); got != want {
			t.Errorf("%q is there %d times and not %d in\n%s", what, got, want, text)
		}
	}
}

func TestEveryChartOfTheTextIsAFile(t *testing.T) {
	text, folder := write(t, beginMark+endMark)
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != strings.Count(text, "![") {
		t.Errorf("%d files, and in the text %d", len(files), strings.Count(text, "!["))
	}
	for _, want := range []string{"hit-tcp.svg", "handlers.svg", "hit-latency-1.svg"} {
		if _, err := os.Stat(filepath.Join(folder, want)); err != nil || !strings.Contains(text, "(benchmarks/"+want+")") {
			t.Errorf("%s: %v", want, err)
		}
	}
	if strings.Contains(text, "### A held preprocess") {
		t.Error("the text speaks of what was not measured")
	}
}

func TestAFileWithoutMarksIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	if err := os.WriteFile(path, []byte("by hand"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, Run{}); err == nil || !strings.Contains(err.Error(), "no place") {
		t.Errorf("the error is %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "by hand" {
		t.Errorf("%s, %v", text, err)
	}
}
