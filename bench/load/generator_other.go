//go:build !linux

package load

import (
	"errors"
	"fmt"
)

// Generator sends requests, on Linux.
type Generator struct{}

// New says that there is no generator here.
func New() (*Generator, error) {
	return nil, fmt.Errorf("load: a generator needs Linux: %w", errors.ErrUnsupported)
}

// Close closes nothing.
func (g *Generator) Close() error { return nil }

// Run does nothing.
func (g *Generator) Run(Job) (Report, error) { return Report{}, errors.ErrUnsupported }
