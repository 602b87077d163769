#!/usr/bin/env bash
# Fails if a part of the speaker's core imports a part above it. The order is that of the diagram in
# speaker/core/src/lib.rs: node, lan, liveness, ownership, sync, speaker. Tests are exempt.
set -euo pipefail
cd "$(dirname "$0")/../../speaker/core/src"

parts=(node lan liveness ownership sync speaker)
failed=0
for ((low = 0; low < ${#parts[@]}; low++)); do
  part=${parts[low]}
  for high in "${parts[@]:low+1}"; do
    # Both forms of an import: `use crate::lan::X` and a line of `use crate::{ ... }`. (std has a
    # module `sync`, too.)
    found=$(find "$part.rs" "$part" -name '*.rs' -not -path '*tests*' -print0 2>/dev/null |
      xargs -0r grep -nE "crate::$high(::|;)|^    $high::" | grep -v ":    sync::Arc," || true)
    if [ -n "$found" ]; then
      echo "$part must not import $high:" >&2
      sed 's/^/  /' <<<"$found" >&2
      failed=1
    fi
  done
done
exit $failed
