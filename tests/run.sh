#!/usr/bin/env bash
# Runs the cluster tests: one binary beside another, since they mostly wait, each with its own clusters and its tests one after another.
# The output of each is shown as a whole when it ends; whatever failed comes last. Arguments go to every binary.
set -euo pipefail
cd "$(dirname "$0")/.."

# The longest first.
order=(peers controller two_networks walkthrough_iptables walkthrough_nftables two_networks_five_workers api_server test_cluster replicas sandbox definitions interfaces)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

cargo test --locked -p lodestone-tests --test '*' --no-run --message-format=json-render-diagnostics |
  sed -n 's/.*"kind":\["test"\].*"name":"\([^"]*\)".*"executable":"\([^"]*\)".*/\1 \2/p' >"$out/built"
for name in $(cut -d' ' -f1 "$out/built"); do
  [[ " ${order[*]} " == *" $name "* ]] || { echo "tests/run.sh does not know the test $name" >&2; exit 1; }
done

one() { # NAME ARGUMENT...
  local name=$1 binary start=$SECONDS
  shift
  binary=$(sed -n "s/^$name //p" "$out/built")
  echo "$name: runs" >&2
  # From the folder of the package, as cargo does.
  if (cd tests && "$binary" --test-threads=1 "$@") >"$out/$name.log" 2>&1; then
    echo "$name: passed after $((SECONDS - start)) s" >&2
    flock "$out/built" sed "s/^running/$name: running/" "$out/$name.log"
  else
    echo "$name" >>"$out/failed"
    echo "$name: FAILED; its output comes at the end" >&2
  fi
}
export -f one
export out
printf '%s\n' "${order[@]}" | xargs -P "${JOBS:-3}" -I{} bash -c 'one "$@"' _ {} "$@"

if [ -e "$out/failed" ]; then
  while read -r name; do
    echo "---- $name"
    cat "$out/$name.log"
  done <"$out/failed"
  exit 1
fi
