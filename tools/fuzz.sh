#!/usr/bin/env bash
# Fuzzes every fuzz target of the product for a time each, two at once: fuzz.sh 10s. Prints what a target that fails has to say.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export FUZZTIME=${1:-10s}

fuzz() { # <folder> <target>
	local said
	# Without a limit of its own, making one interesting input smaller takes the whole time: a target then runs a few inputs.
	if ! said=$(go test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 100x -parallel 1 "$1" 2>&1) && ! only_the_time_is_up "$said"; then
		printf '%s %s FAILED\n%s\n' "$1" "$2" "$said"
		return 1
	fi
	printf '%s %s: %s\n' "$1" "$2" "$(grep -o 'execs: [0-9]*' <<<"$said" | tail -n 1)"
}

# Go before 1.27 sometimes reports the end of the time as a failure: go.dev/issue/75804. A real failure writes down its input.
only_the_time_is_up() { # <what go test said>
	grep -A 1 -- '^--- FAIL' <<<"$1" | grep -qx '    context deadline exceeded' && ! grep -qE 'Failing input|panic|fatal error|unexpected goroutines' <<<"$1"
}
export -f fuzz only_the_time_is_up

# The modules below the root have no parsers of outside bytes of the product.
grep -rHo --include='*_test.go' --exclude-dir={bench,e2e,examples,tools} '^func Fuzz[A-Za-z0-9]*' . |
	sed 's|/[^/]*_test.go:func | |' | sort | xargs -n 2 -P 2 bash -c 'fuzz "$1" "$2"' fuzz
