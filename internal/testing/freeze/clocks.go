package main

import (
	"encoding/binary"
	"os"
	"time"
)

// clocks is the file that says how far the sandbox's clocks are off: two numbers of nanoseconds, little-endian.
type clocks struct {
	file            *os.File
	wall, monotonic time.Duration
}

func newClocks(path string) (*clocks, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	c := &clocks{file: file}
	return c, c.store()
}

// close closes the file, if there is one.
func (c *clocks) close() error {
	if c == nil {
		return nil
	}
	return c.file.Close()
}

// shift changes them as the round wants, after a freeze of that length.
func (c *clocks) shift(r round, frozen time.Duration) error {
	switch r.shift {
	case still:
		c.monotonic -= frozen
	case back:
		c.wall -= r.by
	case forward:
		c.wall += r.by
	}
	return c.store()
}

func (c *clocks) store() error {
	b := binary.LittleEndian.AppendUint64(nil, uint64(c.wall))
	_, err := c.file.WriteAt(binary.LittleEndian.AppendUint64(b, uint64(c.monotonic)), 0)
	return err
}
