#!/usr/bin/env bash
# Runs the end-to-end tests, or those whose names contain one of the arguments.
#
# The tests are one binary. Its modules are suites with a cluster each (see tests/e2e/main.rs). Each
# suite runs in a process of its own, JOBS of them at a time: they mostly wait. Suites that took
# longest in the last full run start first. The output of a suite appears when the suite ends. The
# durations and results of all suites come last, and after them the output of suites that failed.
# RUST_TEST_NOCAPTURE=1 shows the output of passing tests, too.
set -euo pipefail
cd "$(dirname "$0")/.."

durations=target/e2e-durations # "SECONDS SUITE" of the last full run
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

for file in tests/e2e/*.rs; do
  module=$(basename "$file" .rs)
  [ "$module" = main ] || grep -q "^mod $module;" tests/e2e/main.rs ||
    { echo "$file has no \`mod $module;\` line in tests/e2e/main.rs" >&2; exit 1; }
done

build=(cargo test --locked -p lodestone-tests --test e2e --no-run)
binary=$("${build[@]}" --message-format=json-render-diagnostics |
  sed -n 's/.*"kind":\["test"\].*"executable":"\([^"]*\)".*/\1/p')
(cd tests && "$binary" --list --format terse "$@") | sed -n 's/: test$//p' >"$out/tests"
[ -s "$out/tests" ] || { echo "no test matches: $*" >&2; exit 1; }
touch "$out/seconds"

# Prints the suites in the order in which they start. A suite whose duration is not known comes
# first; among those, the suite with most tests.
suites() {
  cut -d: -f1 "$out/tests" | sort | uniq -c | while read -r count suite; do
    seconds=$(sed -n "s/ $suite\$//p" "$durations" 2>/dev/null || true)
    echo "${seconds:-99999} $count $suite"
  done | sort -k1,1nr -k2,2nr | cut -d' ' -f3
}

run_suite() { # SUITE
  local suite=$1 tests start=$SECONDS
  mapfile -t tests < <(grep "^$suite::" "$out/tests")
  echo "$suite: ${#tests[@]} tests" >&2
  # In the directory of the package, as cargo does.
  if (cd tests && "$binary" --test-threads=1 --exact "${tests[@]}") >"$out/$suite.log" 2>&1; then
    echo "$suite: passed after $((SECONDS - start)) s" >&2
    # The result comes again at the end, so that the results of all suites stand together.
    flock "$out/tests" sed "/^test result:/d; s/^running/$suite: running/" "$out/$suite.log"
  else
    echo "$suite" >>"$out/failed"
    echo "$suite: FAILED after $((SECONDS - start)) s; its output comes at the end" >&2
  fi
  echo "$((SECONDS - start)) $suite" >>"$out/seconds"
}
export -f run_suite
export out binary
suites | xargs -P "${JOBS:-3}" -I{} bash -c 'run_suite {}'

sort -nr "$out/seconds" | while read -r seconds suite; do
  echo "$suite took $seconds s"
  grep '^test result: ok' "$out/$suite.log" || true
done
if [ -e "$out/failed" ]; then
  while read -r suite; do
    echo "---- $suite"
    cat "$out/$suite.log"
  done <"$out/failed"
  exit 1
fi
[ $# -gt 0 ] || cp "$out/seconds" "$durations"
