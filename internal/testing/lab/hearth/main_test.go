package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"hearth/pool"
)

func TestTheOptionsAreRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	write := func(wall, mono time.Duration) {
		b := binary.LittleEndian.AppendUint64(nil, uint64(wall))
		if err := os.WriteFile(file, binary.LittleEndian.AppendUint64(b, uint64(mono)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(-time.Hour, time.Minute)
	env := map[string]string{"HEARTH_TEST_WITHOUT": "idle_limit,replay", "HEARTH_TEST_EVENTS": "INVOKE", "HEARTH_TEST_CLOCK": file}
	o, err := read(func(name string) string { return env[name] })
	if err != nil || o.Policy != (pool.Policy{NoReplay: true}) || !o.NoIdleLimit || !slices.Equal(o.Events, []string{"INVOKE"}) {
		t.Fatalf("%+v, %v", o, err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := o.Clock()
	if shift := time.Until(before.Wall); shift > -59*time.Minute {
		t.Errorf("the wall clock is shifted by %v", shift)
	}
	if _, err := f.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(time.Hour)), 8); err != nil {
		t.Fatal(err)
	}
	if after := o.Clock(); after.Mono-before.Mono < 59*time.Minute || after.Wall.Sub(before.Wall) > 30*time.Minute {
		t.Errorf("between two readings the clocks went on by %v and %v", after.Wall.Sub(before.Wall), after.Mono-before.Mono)
	}
	if o, err = read(func(string) string { return "" }); err != nil || o.Clock != nil || o.NoIdleLimit || len(o.Events) != 0 || o.Policy != (pool.Policy{}) {
		t.Errorf("without variables: %+v, %v", o, err)
	}
	for name, value := range map[string]string{"HEARTH_TEST_WITHOUT": "races", "HEARTH_TEST_CLOCK": "/does/not/exist"} {
		if _, err := read(func(n string) string { return map[string]string{name: value}[n] }); err == nil {
			t.Errorf("%s=%s is no error", name, value)
		}
	}
}
