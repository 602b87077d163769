#!/usr/bin/env bash
# Fails if the subject of a commit is not `area: summary` of at most 72 characters, as
# CONTRIBUTING.md asks. The rule holds for the commits after FIRST, or after the given one.
# Usage: commit-subjects.sh [COMMIT]
set -euo pipefail
cd "$(dirname "$0")/../.."

FIRST=9a0c766
subject='^[a-z0-9][a-z0-9 ,/_.-]*: [^ ].*[^.]$'
export LC_ALL=C.UTF-8

wrong=$(git log --no-merges --format='%h %s' "${1:-$FIRST}..HEAD" | while read -r commit text; do
  if ((${#text} > 72)) || ! [[ $text =~ $subject ]]; then echo "$commit $text"; fi
done)
if [ -n "$wrong" ]; then
  printf '%s\n' "$wrong" >&2
  echo "these subjects are not \`area: imperative summary\` of at most 72 characters" >&2
  exit 1
fi
