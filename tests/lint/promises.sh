#!/usr/bin/env bash
# Keeps docs/promises.md and the tests together. A test that proves promise N starts its name with
# pN_ (or p1_p3_ for two). Each promise has a section that ends with a generated list of its tests.
# Usage: promises.sh check   fails if the lists are out of date. Also fails if a promise has no test,
#                            unless its section says "Not kept yet".
#        promises.sh sync    regenerates the lists
set -euo pipefail
cd "$(dirname "$0")/../.."

page=docs/promises.md
mode=${1:-check}
[[ $mode == check || $mode == sync ]] || { echo "usage: $0 [check|sync]" >&2; exit 2; }

# One line per test and promise: NUMBER NAME PATH.
tests() {
  grep -rnoE --include='*.rs' --exclude-dir=target --exclude-dir=.git '\bfn (p[0-9]+_)+[a-z0-9_]+' . |
    sed -E 's|^\./([^:]+):[0-9]+:fn (.*)$|\2 \1|' | sort -u |
    while read -r name path; do
      for number in $(grep -oE '^(p[0-9]+_)+' <<<"$name" | grep -oE '[0-9]+'); do
        echo "$number $name $path"
      done
    done
}

class() { # PATH
  case $1 in
    tests/sim/*) echo simulation ;;
    tests/e2e/*) echo cluster ;;
    speaker/core/src/speaker/tests/*) echo "several speakers" ;;
    *) echo unit ;;
  esac
}

all=$(tests)
list() { # NUMBER
  local number name path
  while read -r number name path; do
    if [ "$number" = "$1" ]; then echo "- \`$name\` ($(class "$path"), \`$path\`)"; fi
  done <<<"$all"
}

# The page, with the lists between the markers replaced.
generated() {
  local line inside=0 number
  while IFS= read -r line; do
    if [[ $line =~ ^'<!-- tests of P'([0-9]+)' -->'$ ]]; then
      echo "$line"
      list "${BASH_REMATCH[1]}"
      inside=1
    elif [[ $line == '<!-- end of tests -->' ]]; then
      echo "$line"
      inside=0
    elif ((!inside)); then
      printf '%s\n' "$line"
    fi
  done <$page
}

new=$(generated)
if [ "$mode" = sync ]; then
  printf '%s\n' "$new" >$page
elif ! difference=$(diff -u --label "$page" --label "the tests in the source" $page <(printf '%s\n' "$new")); then
  printf '%s\n' "$difference" >&2
  echo "$page does not match the tests: run \`make promises\`" >&2
  exit 1
fi

failed=0
for number in $(cut -d' ' -f1 <<<"$all" | sort -nu); do
  grep -q "^<!-- tests of P$number -->$" $page || { echo "$page: tests name P$number, but it has no section" >&2; failed=1; }
done
for number in $(sed -n 's/^## P\([0-9]*\).*/\1/p' $page); do
  section=$(sed -n "/^## P$number\b/,/^<!-- end of tests -->/p" $page)
  if ! grep -q "^<!-- tests of P$number -->$" <<<"$section"; then
    echo "$page: P$number has no list of tests" >&2
    failed=1
  elif ! grep -q "^$number " <<<"$all" && ! grep -q "Not kept yet" <<<"$section"; then
    echo "$page: P$number has no test. Add one (its name starts with p${number}_), or say in the section: Not kept yet" >&2
    failed=1
  fi
done
exit $failed
