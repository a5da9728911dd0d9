// Command mutate plants small mistakes in a package, one at a time, and says which ones no test notices.
//
//	cd tools && go run ./mutate -n 50 ./cache/... ./pool
//
// Start at [run]. find.go lists the mistakes that a file can hold, plant.go tests one of them, lists.go reads which other
// tests count for a package (users.txt) and which mistakes no test can notice (accepted.txt).
//
// No file of the tree changes: the compiler sees a mistake through -overlay. There are no mistakes in logs, in the text of
// errors, in String methods and in locking: tests compare none of the first three, and the race detector finds the fourth.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// config is what the command line says.
type config struct {
	root     string // folder of the module that gets the mistakes
	n        int    // mistakes per package; 0: all
	seed     uint64 // chooses which
	workers  int
	min      int           // per cent of a package's mistakes that tests must notice
	timeout  time.Duration // least time after which a test hangs
	users    string        // file
	accepted string        // file
	patterns []string
}

func main() {
	var cfg config
	flag.StringVar(&cfg.root, "root", "..", "`folder` of the module that gets the mistakes")
	flag.IntVar(&cfg.n, "n", 50, "mistakes per package; 0: all")
	flag.Uint64Var(&cfg.seed, "seed", 1, "chooses which mistakes are planted")
	flag.IntVar(&cfg.workers, "workers", 1, "mistakes that are tested at a time")
	flag.IntVar(&cfg.min, "min", 90, "fail if the tests of a package notice less, in `percent`")
	flag.DurationVar(&cfg.timeout, "timeout", 30*time.Second, "least time after which a test hangs; ten times what it takes without a mistake if that is more")
	flag.StringVar(&cfg.users, "users", "mutate/users.txt", "`file` with the other tests that count for a package")
	flag.StringVar(&cfg.accepted, "accepted", "mutate/accepted.txt", "`file` with the mistakes that no test can notice")
	flag.Parse()
	cfg.patterns = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, cfg)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// run plants mistakes in each package and fails if the tests of one notice too few.
func run(ctx context.Context, out io.Writer, cfg config) error {
	users, err := readUsers(cfg.users)
	if err != nil {
		return err
	}
	reasons, err := readAccepted(cfg.accepted)
	if err != nil {
		return err
	}
	packages, err := list(ctx, cfg)
	if err != nil {
		return err
	}
	var faults []error
	for _, p := range packages {
		mistakes, err := find(p)
		if err != nil {
			return err
		}
		named := map[string]int{}
		for _, m := range mistakes {
			named[m.key()]++
		}
		for key := range reasons[p.dir] {
			if n := named[key]; n != 1 {
				faults = append(faults, fmt.Errorf("%s: %d mistakes are called this, want one:\n%s", cfg.accepted, n, key))
			}
		}
		if len(mistakes) == 0 {
			continue
		}
		t := &trial{cfg: cfg, pkg: p, out: out, stages: stages(p, users[p.dir]), reasons: reasons[p.dir], files: map[string]tally{}}
		if err := t.run(ctx, mistakes); err != nil {
			return err
		}
		if all := t.all; all[noticed]*100 < cfg.min*all.planted() {
			faults = append(faults, fmt.Errorf("%s: tests notice %d of %d mistakes, which is less than %d %%", p.dir, all[noticed], all.planted(), cfg.min))
		}
	}
	return errors.Join(faults...)
}

// pkg is a package of the module, as go list shows it.
type pkg struct {
	Dir                                string
	GoFiles, TestImports, XTestImports []string
	dir                                string // from the module's root, with slashes
}

func list(ctx context.Context, cfg config) ([]pkg, error) {
	root, err := filepath.Abs(cfg.root)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-json=Dir,GoFiles,TestImports,XTestImports"}, cfg.patterns...)...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var p pkg
		if err := decoder.Decode(&p); err != nil {
			return nil, err
		}
		dir, err := filepath.Rel(root, p.Dir)
		if err != nil {
			return nil, err
		}
		p.dir = filepath.ToSlash(dir)
		packages = append(packages, p)
	}
	return packages, nil
}
