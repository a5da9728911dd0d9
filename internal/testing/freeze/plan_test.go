package main

import (
	"math/rand/v2"
	"testing"
)

func TestEveryRunMeetsEveryCell(t *testing.T) {
	for seed := range uint64(100) {
		for _, n := range []int{60, 150} {
			missing := map[cell]bool{}
			for _, c := range cells() {
				missing[c] = true
			}
			rounds := 0
			for i, own := range plan(rand.New(rand.NewPCG(seed, 0)), n, sandboxLimits(), true) {
				for _, r := range own {
					rounds++
					if r.frozen > gap && r.frozen < sandboxLimits()[i] {
						delete(missing, cell{r.first, r.fault, r.weaviate, r.odoo})
					}
				}
			}
			if rounds != n || len(missing) > 0 {
				t.Errorf("seed %d: %d rounds of %d, without %v", seed, rounds, n, missing)
			}
		}
	}
}
