package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
)

// tally counts planted mistakes by their outcome.
type tally [impossible]int

func (t tally) planted() int { return t[noticed] + t[missed] + t[explained] }

func (t tally) String() string {
	return fmt.Sprintf("%d of %d noticed, %d not noticed, %d explained", t[noticed], t.planted(), t[missed], t[explained])
}

// trial plants mistakes in one package.
type trial struct {
	cfg config
	pkg
	stages  []stage
	reasons map[string]string // why nothing can notice a mistake, by its key

	mu       sync.Mutex // guards what follows; released by the function that takes it
	out      io.Writer
	mistakes []mistake // not planted yet
	busy     int       // planted, not tallied yet
	all      tally
	files    map[string]tally
	texts    [impossible][]string // of those to show at the end
	err      error
}

// run plants as many of the mistakes as the config says. The seed chooses them.
func (t *trial) run(ctx context.Context, mistakes []mistake) error {
	hash := fnv.New64a()
	_, _ = io.WriteString(hash, t.dir)
	rand.New(rand.NewPCG(t.cfg.seed, hash.Sum64())).Shuffle(len(mistakes), func(i, j int) {
		mistakes[i], mistakes[j] = mistakes[j], mistakes[i]
	})
	t.mistakes = mistakes
	fmt.Fprintf(t.out, "# %s: the code can hold %d mistakes, seed %d\n", t.dir, len(mistakes), t.cfg.seed)
	for i := range t.stages {
		if err := t.stages[i].measure(ctx, t.cfg); err != nil {
			return err
		}
	}
	var workers sync.WaitGroup
	for range max(t.cfg.workers, 1) {
		workers.Go(func() {
			for m, ok := t.next(); ok; m, ok = t.next() {
				o, how, err := t.try(ctx, m)
				t.add(m, o, how, err)
			}
		})
	}
	workers.Wait()
	if t.err != nil {
		return t.err
	}
	fmt.Fprintf(t.out, "\n## %s: %v\n", t.dir, t.all)
	for _, name := range t.GoFiles {
		if f := t.files[name]; f.planted() > 0 {
			fmt.Fprintf(t.out, "%s/%s: %v\n", t.dir, name, f)
		}
	}
	for _, texts := range t.texts {
		slices.Sort(texts)
		for _, text := range texts {
			fmt.Fprintf(t.out, "\n%s\n", text)
		}
	}
	fmt.Fprintln(t.out)
	return nil
}

// next takes a mistake, unless enough are planted. One that did not compile was none, so another takes its place.
func (t *trial) next() (mistake, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	enough := t.cfg.n > 0 && t.all.planted()+t.busy >= t.cfg.n
	if enough || t.err != nil || len(t.mistakes) == 0 {
		return mistake{}, false
	}
	m := t.mistakes[0]
	t.mistakes = t.mistakes[1:]
	t.busy++
	return m, true
}

func (t *trial) try(ctx context.Context, m mistake) (outcome, string, error) {
	if reason := t.reasons[m.key()]; reason != "" {
		return explained, reason, nil
	}
	return plant(ctx, t.cfg, m, t.stages)
}

// add tallies what became of a mistake.
func (t *trial) add(m mistake, o outcome, how string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy--
	t.err = errors.Join(t.err, err)
	if err != nil || o == impossible {
		return
	}
	f := t.files[m.file]
	f[o]++
	t.files[m.file] = f
	t.all[o]++
	switch o {
	case noticed:
		fmt.Fprintf(t.out, "noticed: %s: %s\n", m.where(), how)
	case missed:
		fmt.Fprintf(t.out, "NOT NOTICED: %s\n", m)
		t.texts[o] = append(t.texts[o], m.String())
	case explained:
		t.texts[o] = append(t.texts[o], m.String()+"\n  "+how)
	}
}
