package rig

import (
	"io"
	"testing"

	"hearth/bench/result"
)

func TestAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64 // by attempt; below 1 is beyond the floor
	}{
		{"good", []float64{2}},
		{"bad once", []float64{0, 2}},
		{"bad twice", []float64{0, 0.5, 2}},
		{"bad always", []float64{0, 0.5, 0.7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &Rig{Progress: io.Discard, Broken: func(lines []result.Line) bool { return lines[0].Value < 1 }}
			attempts := 0
			lines, err := r.Again(func() ([]result.Line, error) {
				attempts++
				return []result.Line{result.Single("x", c.values[attempts-1], "")}, nil
			})
			if err != nil || attempts != len(c.values) || lines[0].Value != c.values[attempts-1] {
				t.Errorf("after %d attempts: %v, %v", attempts, lines, err)
			}
		})
	}
}
