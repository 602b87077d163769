#!/usr/bin/env bash
# Fails if a comment line in a Rust file is longer than 100 characters. rustfmt leaves comments
# alone. Code blocks and tables in doc comments may be wider: wrapping would break them.
set -euo pipefail
cd "$(dirname "$0")/../.."

# sed counts characters, not bytes, only in a UTF-8 locale.
export LC_ALL=C.UTF-8

too_long=$(find . \( -name target -o -name .git \) -prune -o -name '*.rs' -print | sort | xargs -d '\n' sed -s -nE '
  # From one fence to the next: a code block.
  \,^ *//[/!] *```,,\,^ *//[/!] *```, b
  \,^ *//[/!] *\|, b
  \,^ *//, { /^.{101}/ { F; =; p } }' | paste -d: - - -)
if [ -n "$too_long" ]; then
  printf '%s\n' "$too_long" >&2
  echo "these comment lines are longer than 100 characters: wrap them" >&2
  exit 1
fi
