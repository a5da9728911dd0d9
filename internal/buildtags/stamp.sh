#!/usr/bin/env bash
# Prints the linker's flags that tell the extension its version and commit: HEARTH_VERSION, else "dev"; HEARTH_COMMIT,
# else what git says of this tree, else "unknown".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

commit=${HEARTH_COMMIT-}
# Without a .git of its own the tree may lie in another repository. No tags and a fixed length: a shallow clone says the same.
if [[ -z $commit && -e .git ]]; then
	commit=$(git --no-optional-locks describe --always --dirty --exclude='*' --abbrev=12 2>/dev/null) || commit=
fi
app=hearth/internal/app
echo "-X $app.version=${HEARTH_VERSION:-dev} -X $app.commit=${commit:-unknown}"
