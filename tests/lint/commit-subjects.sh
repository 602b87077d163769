#!/usr/bin/env bash
# Fails if the subject of a commit is not `area: summary` of at most 72 characters, or if its body
# has lines over 72 columns. CONTRIBUTING.md has these rules. The one for subjects holds for the
# commits after FIRST, the one for bodies for those after FIRST_BODY. With COMMIT, both hold for
# those after it.
# Usage: commit-subjects.sh [COMMIT]
set -euo pipefail
cd "$(dirname "$0")/../.."

FIRST=9a0c766
FIRST_BODY=0d16f15
subject='^[a-z0-9][a-z0-9 ,/_.-]*: [^ ].*[^.]$'
export LC_ALL=C.UTF-8

wrong=$(git log --no-merges --format='%h %s' "${1:-$FIRST}..HEAD" | while read -r commit text; do
  if ((${#text} > 72)) || ! [[ $text =~ $subject ]]; then echo "$commit $text"; fi
done)
wide=$(git log --no-merges --format='%h%x09%b' "${1:-$FIRST_BODY}..HEAD" | sed 's/^[0-9a-f]*\t//' | grep -E '^.{73}' || true)
if [ -n "$wide" ]; then
  printf '%s\n' "$wide" >&2
  echo "these lines of bodies are wider than 72 columns" >&2
  exit 1
fi
if [ -n "$wrong" ]; then
  printf '%s\n' "$wrong" >&2
  echo "these subjects are not \`area: imperative summary\` of at most 72 characters" >&2
  exit 1
fi
