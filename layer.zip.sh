#!/usr/bin/env bash
# Builds the Lambda layers: see --help.
set -euo pipefail

usage() {
	cat <<'EOF'
usage: ./layer.zip.sh

Builds dist/hearth-layer-x86_64.zip and dist/hearth-layer-arm64.zip: one Lambda
layer for each architecture, with

  extensions/hearth   the extension, static
  python/...          the Python client: client/python without its tests

and prints the SHA-256 and the size of each. One tree and one Go release give
the same bytes, wherever and whenever this runs. It needs Go, and no zip.

The version that the extension reports is HEARTH_VERSION, else the commit, with
"-dirty" if tracked files have changed since, else "unknown".
EOF
}

case "${1-}" in
-h | --help)
	usage
	exit 0
	;;
?*)
	usage >&2
	exit 2
	;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")"

# No tags and a fixed length: a shallow clone says the same as a full one.
version=${HEARTH_VERSION:-$(git --no-optional-locks describe --always --dirty --exclude='*' --abbrev=12 2>/dev/null || echo unknown)}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The caller's own settings must not change the bytes.
export GOFLAGS=-buildvcs=false GOWORK=off GOEXPERIMENT='' GOFIPS140=off CGO_ENABLED=0
unset GOOS GOARCH

go build -o "$work/layerzip" ./internal/layerzip

layer() { # <Lambda's name of the architecture> <Go's>
	GOOS=linux GOARCH=$2 GOAMD64=v1 GOARM64=v8.0 go build -tags "$(<internal/buildtags/tags)" -trimpath \
		-ldflags "-s -w -buildid= -X hearth/internal/app.version=$version" -o "$work/$1/hearth" .
	"$work/layerzip" -o "dist/hearth-layer-$1.zip" -arch "$1" -extension "$work/$1/hearth" -python client/python
}

layer x86_64 amd64
layer arm64 arm64
