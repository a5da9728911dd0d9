package lab

import (
	"io"
	"time"

	"hearth/internal/figures"
)

// The names that harnesses have for the package figures, so that each of them imports the lab alone.
type (
	Samples = figures.Samples
	Table   = figures.Table
)

// NewTable begins a table with its header. A tab ends a cell.
func NewTable(out io.Writer, header string) Table { return figures.NewTable(out, header) }

// MS is a duration in milliseconds.
func MS(d time.Duration) float64 { return figures.MS(d) }
