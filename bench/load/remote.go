package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// answer is what a generator's process writes for each job.
type answer struct {
	Report Report
	Error  string
}

// Serve reads jobs from in, one JSON value each, does them, and writes an answer to each. It returns at the end of in.
func Serve(in io.Reader, out io.Writer) (err error) {
	g, err := New()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	jobs, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var job Job
		if err := jobs.Decode(&job); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("load: read a job: %w", err)
		}
		var a answer
		var fault error
		if a.Report, fault = g.Run(job); fault != nil {
			a.Error = fault.Error()
		}
		if err := answers.Encode(a); err != nil {
			return fmt.Errorf("load: write an answer: %w", err)
		}
	}
}

// Remote is a generator in another process, which runs [Serve].
type Remote struct {
	jobs    *json.Encoder
	answers *json.Decoder
}

// NewRemote talks to a generator by its standard input and output.
func NewRemote(in io.Writer, out io.Reader) *Remote {
	return &Remote{jobs: json.NewEncoder(in), answers: json.NewDecoder(out)}
}

// Run has the job done. After a job that failed, the connections may hold replies to it: the generator must not be used again.
func (r *Remote) Run(job Job) (Report, error) {
	if err := r.jobs.Encode(job); err != nil {
		return Report{}, fmt.Errorf("load: send a job: %w", err)
	}
	var a answer
	if err := r.answers.Decode(&a); err != nil {
		return Report{}, fmt.Errorf("load: receive an answer: %w", err)
	}
	if a.Error != "" {
		return Report{}, errors.New(a.Error)
	}
	return a.Report, nil
}
