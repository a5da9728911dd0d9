package app

import "hearth/internal/clock"

// lab is what tests change of a sandbox to show what a part of it is good for. In a released binary it is empty:
// only one built with the tag hearthtest reads it from the environment (lab_on.go).
type lab struct {
	now              func() clock.Instant // nil: the machine's clocks
	events           []string             // registered for besides SHUTDOWN
	noRace, noReplay bool
	noIdleLimit      bool
}
