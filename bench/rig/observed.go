package rig

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Observed is a Hearth that tells what it does inside. Stop its process.
type Observed struct {
	*Hearth

	answers *bufio.Scanner
}

// StartObserved starts a Hearth with the main of cmd/observed.
func (r *Rig) StartObserved(ctx context.Context) (*Observed, error) {
	program, err := r.Build(ctx, "cmd/observed")
	if err != nil {
		return nil, err
	}
	h, err := r.StartHearth(ctx, program)
	if err != nil {
		return nil, err
	}
	return &Observed{h, bufio.NewScanner(h.Out)}, nil
}

// Allocs is how many heap objects it has allocated so far.
func (o *Observed) Allocs() (uint64, error) {
	answer, err := o.command("allocs")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(answer, 10, 64)
}

// Profile writes a CPU profile of what it does while during runs.
func (o *Observed) Profile(file string, during func() error) error {
	if err := o.obey("profile " + file); err != nil {
		return err
	}
	if err := during(); err != nil {
		return err
	}
	return o.obey("stop")
}

func (o *Observed) obey(command string) error {
	answer, err := o.command(command)
	if err == nil && answer != "ok" {
		err = fmt.Errorf("%s: %s", command, answer)
	}
	return err
}

func (o *Observed) command(text string) (answer string, err error) {
	if _, err := fmt.Fprintln(o.In, text); err != nil {
		return "", o.Failed(err)
	}
	if !o.answers.Scan() {
		return "", o.Failed(fmt.Errorf("%s: no answer", text))
	}
	return strings.TrimSpace(o.answers.Text()), nil
}
