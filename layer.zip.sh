#!/usr/bin/env bash
# Builds the Lambda layers: see --help.
set -euo pipefail

usage() {
	cat <<'EOF'
usage: ./layer.zip.sh

Builds dist/hearth-layer-x86_64.zip and dist/hearth-layer-arm64.zip: one Lambda
layer for each architecture, with

  extensions/hearth     the extension, static
  python/...            the Python client: client/python without its tests
  licenses/hearth/...   our license, and those of the modules in the extension

and prints the SHA-256 and the size of each. One tree and one Go release give
the same bytes, wherever and whenever this runs. It needs Go, and no zip.

"hearth version" says HEARTH_VERSION, else "dev", and HEARTH_COMMIT, else what git
says, with "-dirty" if tracked files have changed since, else "unknown".
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

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The caller's own settings must not change the bytes.
export GOFLAGS=-buildvcs=false GOWORK=off GOEXPERIMENT='' GOFIPS140=off CGO_ENABLED=0
unset GOOS GOARCH

go build -o "$work/layerzip" ./internal/layerzip

tags=$(<internal/buildtags/tags)
stamp=$(internal/buildtags/stamp.sh)

layer() { # <Lambda's name of the architecture> <Go's>
	export GOOS=linux GOARCH=$2 GOAMD64=v1 GOARM64=v8.0
	go build -tags "$tags" -trimpath -ldflags "-s -w -buildid= $stamp" -o "$work/$1/hearth" .
	{
		printf 'Go and its standard library\t%s\t%s\t%s\n' "$(go env GOVERSION)" "$(go env GOROOT)" "$(go env GOROOT)"
		go list -deps -tags "$tags" -f '{{with .Module}}{{if not .Main}}{{.Path}}	{{.Version}}	{{.Dir}}	{{$.Dir}}{{end}}{{end}}' . | sed '/^$/d'
	} >"$work/$1/packages"
	"$work/layerzip" -o "dist/hearth-layer-$1.zip" -arch "$1" -extension "$work/$1/hearth" -python client/python \
		-license LICENSE -packages "$work/$1/packages"
}

layer x86_64 amd64
layer arm64 arm64
