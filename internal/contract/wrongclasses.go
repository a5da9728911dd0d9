package contract

import "testing"

func (s *suite) wrongClasses(t *testing.T) {}
