#!/usr/bin/env bash
# Checks that the simulator notices broken rules of the speaker. Each mutation breaks one rule in a
# copy of the sources, builds the simulator from it and plays SEEDS seeds (default 1000). At least
# one of them must fail.
#
# A comment `// mutation: NAME` stands shortly before the line that a mutation changes. So moving the
# code does not break this script.
set -euo pipefail
cd "$(dirname "$0")/../.."
# A target directory of its own keeps builds of broken sources away from the real ones.
export CARGO_TARGET_DIR=$PWD/target/mutations
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
seeds=${SEEDS:-1000}

# Replaces OLD by NEW in the copy, within the lines after the comment `// mutation: NAME`.
apply() { # NAME OLD NEW
  python3 - "$copy/tree/speaker" "$@" <<'PY'
import pathlib, re, sys

LINES = 6  # A statement that rustfmt has broken into several lines fits into these.

root, name, old, new = sys.argv[1:]
anchor = re.compile(rf"^\s*// mutation: {re.escape(name)}$")
found = []
for path in pathlib.Path(root).rglob("*.rs"):
    lines = path.read_text().split("\n")
    found += [(path, lines, number) for number, line in enumerate(lines) if anchor.match(line)]
if len(found) != 1:
    sys.exit(f"{name}: {len(found)} anchors `// mutation: {name}` under {root}, not 1")
path, lines, number = found[0]
after = "\n".join(lines[number + 1 : number + 1 + LINES])
if after.count(old) != 1:
    sys.exit(f"{name}: {after.count(old)} times in the {LINES} lines after {path}:{number + 1}: {old}")
lines[number + 1 : number + 1 + LINES] = after.replace(old, new).split("\n")
path.write_text("\n".join(lines))
PY
}

mutate() { # NAME OLD NEW
  local name=$1
  rm -rf "${copy:?}/tree"
  mkdir "$copy/tree"
  git ls-files -z | xargs -0 cp --parents -t "$copy/tree"
  # `mutate ... || failed=1` switches `set -e` off in here, so every step needs its own check.
  # Without it, a failed step would play the binary of the mutation before.
  apply "$@" || { echo "DOES NOT APPLY: $name"; return 1; }
  (cd "$copy/tree" && cargo build --locked --quiet -p lodestone-sim) || { echo "DOES NOT BUILD: $name"; return 1; }
  if RUST_BACKTRACE=0 "$CARGO_TARGET_DIR/debug/sim" --seeds "$seeds" >"$copy/log" 2>/dev/null; then
    echo "NOT NOTICED: $name"
    return 1
  fi
  echo "noticed: $name ($(tail -1 "$copy/log"))"
}

failed=0
# Two claims of one epoch are not settled by rank.
mutate equal-epochs-not-settled \
  'claim.epoch == known.epoch && ranks_before(claim.address, node, &known.node)' 'false' || failed=1
# A new owner does not raise the epoch.
mutate takeover-keeps-epoch \
  'record.epoch.next()' 'record.epoch' || failed=1
# A failed peer loses its addresses without a reachability check.
mutate takeover-without-reachability-check \
  ' && reachability() == Reachability::NodeDown' '' || failed=1
# A deputy answers with its own MAC instead of the owner's.
mutate deputy-uses-own-mac \
  '*mac' '{ let _ = mac; port.mac }' || failed=1
# A peer without reachable watchers is treated as failed although it was just heard directly.
mutate unwatched-peer-not-spared \
  '|heard| now < *heard + SPARED_FOR' '|_| false' || failed=1
# A node that does not watch a peer checks it over the node network although the peer has a LAN.
mutate check-over-node-network \
  'pairs.iter().any(|(_, network)| !self.is_node_network(node, network))' \
  'self.peers().session(node).is_some_and(|session| session.lan.expected)' || failed=1
exit $failed
