#!/usr/bin/env bash
# Breaks the speaker's rules one by one in a copy of the sources, and plays seeds against each: every one has to be found out.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Of its own: what is built from broken sources must not be taken for the real thing.
export CARGO_TARGET_DIR=$PWD/target/mutations
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
seeds=${SEEDS:-1000}

mutate() { # NAME FILE OLD NEW
  local name=$1 file=$2 old=$3 new=$4
  rm -rf "${copy:?}/tree"
  mkdir "$copy/tree"
  git ls-files -z | xargs -0 cp --parents -t "$copy/tree"
  # What calls this function switches `set -e` off: each step says for itself that it failed, or an older build would be played.
  python3 - "$copy/tree/$file" "$old" "$new" <<'PY' || { echo "DOES NOT APPLY: $name"; return 1; }
import sys
path, old, new = sys.argv[1:]
text = open(path).read()
assert text.count(old) == 1, f"{path} has {text.count(old)} times: {old}"
open(path, "w").write(text.replace(old, new))
PY
  (cd "$copy/tree" && cargo build --locked --quiet -p lodestone-sim) || { echo "DOES NOT BUILD: $name"; return 1; }
  if RUST_BACKTRACE=0 "$CARGO_TARGET_DIR/debug/sim" --seeds "$seeds" >"$copy/log" 2>/dev/null; then
    echo "NOT FOUND: $name"
    return 1
  fi
  echo "found: $name ($(tail -1 "$copy/log"))"
}

failed=0
core=speaker/src/core
mutate "equal epochs are not settled" $core/claims.rs \
  '|| (claim.epoch == known.epoch && comes_first(claim.address, node, &known.node))' '' || failed=1
mutate "whoever takes over does not raise the epoch" $core/claims.rs \
  'holder.epoch.saturating_add(1)' 'holder.epoch' || failed=1
mutate "suspicion is enough, the wire is not asked" $core/speaker/ownership.rs \
  'if silent.is_some() && self.found(now, &node) == Found::Gone {' 'if silent.is_some() {' || failed=1
mutate "whoever stands in answers with its own MAC" $core/speaker/frames.rs \
  'Some((port, (*mac).into()))' '{ let _ = mac; Some((port, port.mac)) }' || failed=1
mutate "one that is heard though nobody watches it is not spared" $core/peers.rs \
  '.filter(|heard| now < *heard + SPARED)' '.filter(|_| false)' || failed=1
mutate "in a large cluster the node network counts on the wire, too" $core/speaker/asking.rs \
  '.any(|(_, network)| !self.is_node_network(node, network));' '.any(|_| self.peers.has_lan(node));' || failed=1
exit $failed
