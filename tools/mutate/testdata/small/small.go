// Package small has code whose mistakes are known.
package small

import "log/slog"

// Limit is the most that Clamp returns.
const Limit = 100

// Clamp returns n, or the limit if that is less.
func Clamp(n int) int {
	if n > Limit {
		n = Limit
	}
	return n
}

// Both says whether a and b are true.
func Both(a, b bool) bool {
	slog.Info("a log", "number", 1)
	return a && b
}

// Sum is the sum of the numbers up to n. It never ends if n stays.
func Sum(n int) (sum int) {
	for n != 0 {
		sum += n
		n--
	}
	return sum
}

type name string

func (n name) String() string { return "text " + string(n) }

// Join has a mistake that does not compile.
func Join(a, b string) string { return a + b }
