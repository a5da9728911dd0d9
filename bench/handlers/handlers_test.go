package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"hearth/bench/result"
	"hearth/bench/rig"
)

func TestEveryWayIsMeasuredInEveryRound(t *testing.T) {
	var order string
	taking := func(name string, took ...float64) way {
		return way{name, len(took), func(_ context.Context, n int) ([]float64, error) {
			order += name
			return took[:n], nil
		}}
	}
	lines, err := perCall(t.Context(), &rig.Rig{Short: true}, []way{taking("a", 1, 2, 9), taking("b", 7)})
	want := []result.Line{result.Single("a", 2, "µs"), result.Single("b", 7, "µs")}
	if err != nil || !reflect.DeepEqual(lines, want) {
		t.Errorf("%v, %v", lines, err)
	}
	if order != "ababbaab" {
		t.Errorf("the order was %s", order)
	}
}

func TestACallThatFailsIsNoNumber(t *testing.T) {
	fails := way{"a", 1, func(context.Context, int) ([]float64, error) { return nil, errors.New("not held") }}
	if _, err := perCall(t.Context(), &rig.Rig{}, []way{fails}); err == nil || err.Error() != "a: not held" {
		t.Errorf("%v", err)
	}
}

func TestAStepHasALineForEachNumber(t *testing.T) {
	got := step("go", 4, 2*time.Second, []float64{3, 1, 2, 4, 5})
	want := []result.Line{
		result.Single("handlers_go_rate_4", 2.5, "1/s"), result.Single("handlers_go_p50_us_4", 3, "µs"),
		result.Single("handlers_go_p99_us_4", 4.96, "µs"),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

func TestTheTimeOfAnImportIsRead(t *testing.T) {
	const report = "import time: self [us] | cumulative | imported package\nimport time:       154 |        154 |     hearth._http\n" +
		"import time:       103 |        409 |     socket\n" +
		"import time:       260 |      13691 | hearth\nimport time:       1 |      99999 | hearths\n"
	if all, own, err := readImportTimes(report); err != nil || all != 13.691 || math.Abs(own-0.414) > 1e-9 {
		t.Errorf("%v, %v, %v", all, own, err)
	}
	if _, _, err := readImportTimes("import time:       154 |        154 |     hearth._http\n"); err == nil {
		t.Error("a report without hearth was read")
	}
}

// measure.py runs here with a client that answers at once.
func TestTheHandlerInPythonDoesItsJobs(t *testing.T) {
	interpreter := findPython(t.Context())
	if interpreter == "" {
		t.Skip("there is no python3")
	}
	const client = `
class Client:
    def preprocess(self, chat, text, route, enable_odoo, num_messages):
        return {"cache": dict.fromkeys(["a", "b", "c", "d"], "hit" if text == "held" else "miss")}
def default_client(): return Client()
def get_message_history_parallel(chat): return chat
`
	dir := t.TempDir()
	for name, code := range map[string][]byte{"hearth.py": []byte(client), "measure.py": measurePy} {
		if err := os.WriteFile(filepath.Join(dir, name), code, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(jobs ...job) (results [][]float64, err error) {
		var in bytes.Buffer
		for _, j := range jobs {
			if err := json.NewEncoder(&in).Encode(j); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), interpreter, filepath.Join(dir, "measure.py"))
		cmd.Stdin = &in
		out, err := cmd.Output()
		_, lines, _ := strings.Cut(string(out), "\n") // the first line says whether there is grpcio
		for d := json.NewDecoder(strings.NewReader(lines)); ; {
			var samples []float64
			if e := d.Decode(&samples); e != nil {
				return results, errors.Join(err, ignoreEOF(e))
			}
			results = append(results, samples)
		}
	}
	results, err := run(job{Way: "history", Calls: 3}, job{Way: "preprocess", Text: "held", Calls: 2}, job{Way: "history", Seconds: 0.01})
	if err != nil || len(results) != 3 || len(results[0]) != 3 || len(results[1]) != 2 || len(results[2]) == 0 {
		t.Errorf("%v, %v", results, err)
	}
	if results, err := run(job{Way: "preprocess", Text: "loaded", Calls: 1}); err == nil {
		t.Errorf("a call that was not held was measured: %v", results)
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
