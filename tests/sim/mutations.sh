#!/usr/bin/env bash
# Checks that the simulator notices broken rules of the speaker. Each mutation breaks one rule in a
# copy of the sources, builds the simulator from it and plays seeds until one fails. One of the first
# SEEDS seeds (default 5000) must fail.
#
# Rules of situations that the simulator does not play are mutated for the unit tests of a package
# instead. At least one of these must fail.
#
# Usage: mutations.sh [NAME...]  all mutations, or those with these names
#        mutations.sh --check    only whether each mutation finds its line
#
# A comment `// mutation: NAME` stands shortly before the line that a mutation changes. So moving the
# code does not break this script.
set -euo pipefail
cd "$(dirname "$0")/../.."
# A target directory of its own keeps builds of broken sources away from the real ones.
export CARGO_TARGET_DIR=$PWD/target/mutations
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
seeds=${SEEDS:-5000}
only=("$@")
check=
if [ "${1:-}" = --check ]; then
  check=1 only=()
fi

# Replaces OLD by NEW within the lines after the comment `// mutation: NAME` below ROOT. With
# `--check` it changes nothing.
apply() { # ROOT NAME OLD NEW
  python3 - "$check" "$@" <<'PY'
import pathlib, re, sys

LINES = 6  # A statement that rustfmt has broken into several lines fits into these.

check, root, name, old, new = sys.argv[1:]
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
if check:
    sys.exit()
lines[number + 1 : number + 1 + LINES] = after.replace(old, new).split("\n")
path.write_text("\n".join(lines))
PY
}

is_wanted() { # NAME
  [ ${#only[@]} = 0 ] || [[ " ${only[*]} " == *" $1 "* ]]
}

# Breaks a rule in a new copy of the sources.
prepare() { # NAME OLD NEW
  if [ -n "$check" ]; then
    apply "$PWD/speaker" "$@"
    return
  fi
  rm -rf "${copy:?}/tree"
  mkdir "$copy/tree"
  git ls-files -z | xargs -0 cp --parents -t "$copy/tree"
  apply "$copy/tree/speaker" "$@" || { echo "DOES NOT APPLY: $1"; return 1; }
}

mutate() { # NAME OLD NEW
  local name=$1
  is_wanted "$name" || return 0
  # `mutate ... || failed=1` switches `set -e` off in here, so every step needs its own check.
  # Without it, a failed step would play the binary of the mutation before.
  prepare "$@" || return 1
  [ -z "$check" ] || return 0
  (cd "$copy/tree" && cargo build --locked --quiet -p lodestone-sim) || { echo "DOES NOT BUILD: $name"; return 1; }
  if RUST_BACKTRACE=0 "$CARGO_TARGET_DIR/debug/sim" --until-failure --seeds "$seeds" >"$copy/log" 2>/dev/null; then
    echo "NOT NOTICED: $name"
    return 1
  fi
  echo "noticed: $name ($(tail -1 "$copy/log"))"
}

mutate_unit() { # PACKAGE NAME OLD NEW
  local package=$1 name=$2
  is_wanted "$name" || return 0
  prepare "${@:2}" || return 1
  [ -z "$check" ] || return 0
  local tests=(cargo test --locked --quiet -p "$package" --lib)
  (cd "$copy/tree" && "${tests[@]}" --no-run) || { echo "DOES NOT BUILD: $name"; return 1; }
  if (cd "$copy/tree" && "${tests[@]}") >"$copy/log" 2>&1; then
    echo "NOT NOTICED: $name"
    return 1
  fi
  echo "noticed: $name ($(sed -n 's/^---- \(.*\) stdout ----$/\1/p' "$copy/log" | head -1))"
}

failed=0
# Two claims of one epoch are not settled by rank.
mutate equal-epochs-not-settled \
  'claim.epoch == known.epoch && ranks_first' 'false' || failed=1
# A new owner does not raise the epoch.
mutate takeover-keeps-epoch \
  'record.epoch.next()' 'record.epoch' || failed=1
# A failed peer loses its addresses without a reachability check.
mutate takeover-without-reachability-check \
  ' && reachability() == Reachability::NodeDown' '' || failed=1
# A deputy answers with its own MAC instead of the owner's.
mutate deputy-uses-own-mac \
  '*mac' '{ let _ = mac; port.mac }' || failed=1
# Nobody notices that an owner is in the other part of a segment if its watchers are, too.
mutate_unit lodestone-speaker-core unwatched-on-a-path-not-noticed \
  'failed.count() < WATCHERS' '{ let _ = (failed.count(), WATCHERS); true }' || failed=1
# A deputy must be eligible to own the address.
mutate_unit lodestone-speaker-core deputy-needs-eligibility \
  'deputies.len() < 2' 'false' || failed=1
# A node that is isolated on a segment keeps that to itself.
mutate_unit lodestone-speaker-core isolation-kept-secret \
  ' && !self.isolated.contains(&interface.name)' '' || failed=1
# A node never forgets hosts that no longer answer.
mutate_unit lodestone-speaker-core dead-hosts-not-forgotten \
  'host.unanswered >= MAX_UNANSWERED' 'false' || failed=1
# Nodes stop checking an owner that is down before another node has taken its address.
mutate_unit lodestone-speaker-core check-ends-with-the-owner \
  'case.view.is_checked(&record.node)' 'false' || failed=1
# A drained node stops answering although no other node is eligible.
mutate_unit lodestone-speaker-core drained-node-waits-for-no-successor \
  ' && has_successor()' '' || failed=1
# An owner whose speaker is down for long loses the address although no other node is eligible.
mutate_unit lodestone-speaker-core limit-waits-for-no-successor \
  ' && has_successor()' '' || failed=1
# A node keeps its addresses after its Node object was deleted.
mutate_unit lodestone-speaker-core deleted-node-keeps-its-addresses \
  'view.now >= deleted.since + DELETED_GRACE' 'false' || failed=1
# A short limit moves addresses of a node of which nothing shows that its speaker alone is down.
mutate_unit lodestone-speaker-core no-limit-while-undecided \
  'limit.max(UNDECIDED_LIMIT)' '{ let _ = UNDECIDED_LIMIT; limit }' || failed=1
# An event says that no node is eligible while a deputy answers.
mutate_unit lodestone-speaker-core no-eligible-node-although-answered \
  '!is_answered' '{ let _ = is_answered; true }' || failed=1
# A release that is lost waits for anti-entropy.
mutate_unit lodestone-speaker-core release-not-repeated \
  'Some(repeat_release(turn.now))' 'Some(repeat_release(turn.now)).filter(|_| false)' || failed=1
# A former owner acknowledges a claim once only.
mutate_unit lodestone-speaker-core acknowledgement-not-repeated \
  '!again.is_empty()' 'false' || failed=1
# A restarted speaker is reminded of its addresses once only.
mutate_unit lodestone-speaker-core reminder-not-repeated \
  'remind(turn!(self, now), from, &self.ownership)' '{ let _ = remind; }' || failed=1
# A node is a rival as soon as it is seen, although it may only be late.
mutate_unit lodestone-speaker-core rival-at-first-sight \
  'now < rival.first + RIVAL_GRACE' '{ let _ = (rival, RIVAL_GRACE); false }' || failed=1
# Nobody finds out whether a rival still answers.
mutate_unit lodestone-speaker-core contested-not-probed \
  'now < rival.last + RIVAL_MEMORY' '{ let _ = rival; false }' || failed=1
# A rival is asked with the baseline requests only, every ten seconds.
mutate_unit lodestone-speaker-core rival-asked-late \
  'self.lan.probe_contested(turn, &contested)' '{ let _ = contested; }' || failed=1
# A claim that only the wire shows is as good as one in a message.
mutate_unit lodestone-speaker-core conceded-for-certain \
  'tentative: true' 'tentative: false' || failed=1
# An owner that hears a new rival on the wire does not show itself.
mutate_unit lodestone-speaker-core new-rival-hears-nothing \
  'standing == RivalStanding::New' 'false' || failed=1
# A kernel that answers is taken for an owner whose messages do not arrive.
mutate_unit lodestone-speaker-core kernel-taken-for-an-owner \
  'if is_heard' 'if false' || failed=1
# Two owners whose messages do not arrive both go on.
mutate_unit lodestone-speaker-core both-rivals-stay \
  'ranks_before(address, node.as_str(), self.context.me.as_str())' 'false' || failed=1
# Two nodes whose messages do not arrive probe for an address, and both take it.
mutate_unit lodestone-speaker-core peers-probe-together \
  '!is_heard && ranks_before(address, node.as_str(), self.context.me.as_str())' 'false' || failed=1
# Frames for other hosts reach the speaker.
mutate_unit lodestone-speaker frames-for-other-hosts \
  '[u32; 3] = [0, 1, 2]' '[u32; 4] = [0, 1, 2, 3]' || failed=1
# Frames of other VLANs reach the speaker.
mutate_unit lodestone-speaker frames-of-other-vlans \
  'program.require_no_foreign_vlan();' '' || failed=1
# An event reports a problem that passes.
mutate_unit lodestone-speaker passing-problem-reported \
  'now + PERSISTENT' 'now' || failed=1
# A peer without reachable watchers is treated as failed although it was just heard directly.
mutate unwatched-peer-not-spared \
  '|heard| now < *heard + SPARED_FOR' '|_| false' || failed=1
# Interfaces of one name or prefix count as one segment, whatever was heard.
mutate_unit lodestone-speaker-core interfaces-paired-by-name \
  'self.pairs(node).into_iter()' 'self.hints(node).into_iter()' || failed=1
# An answer on one segment counts on all others.
mutate_unit lodestone-speaker-core answer-counts-on-every-segment \
  '|(on, _)| **on == heard_on' '|(on, _)| **on == heard_on || on.is_some()' || failed=1
# A peer that is heard on one path counts as alive for all addresses.
mutate_unit lodestone-speaker-core failed-only-if-failed-everywhere \
  '.reduce(Phase::worst)' '.reduce(Phase::worst).filter(|_| false)' || failed=1
# A peer that has failed on a segment is eligible for the addresses of that segment.
mutate_unit lodestone-speaker-core failed-segment-ignored \
  '!failed.is_disjoint(&eligibility.interfaces)' 'false' || failed=1
# Both ports of a node on one segment announce.
mutate_unit lodestone-speaker-core second-port-announces-too \
  'hears(first, &port) || hears(&port, first)' 'hears(first, &port) && false' || failed=1
# A deputy answers with the MAC of the owner's first port, although the owner uses another.
mutate_unit lodestone-speaker-core deputy-uses-the-first-port \
  '== Some(network.mac)' '== Some(network.mac) && false' || failed=1
# The answer of a second port counts for the first one, which may have lost its carrier.
mutate_unit lodestone-speaker-core answer-of-another-port-counts \
  'network.mac == seen.mac && ' '' || failed=1
# The answer of a port that announces nothing counts, although the announcing port is dead.
mutate_unit lodestone-speaker-core answer-of-an-unused-port-counts \
  'segment.targets.macs.contains(&seen.mac)' 'true' || failed=1
# A peer that cannot take an address yet counts as settled.
mutate_unit lodestone-speaker-core ineligible-peer-is-settled \
  'missing.iter().filter(is_eligible).cloned()' 'missing.iter().cloned()' || failed=1
# The peers go on to count by the epoch of an earlier use of an address.
mutate_unit lodestone-speaker-core epoch-of-the-earlier-use-kept \
  'begins_again || claim.epoch' 'begins_again && self.epoch < claim.epoch || claim.epoch' || failed=1
# The owner forgets its last epoch when the address is unused for a moment.
mutate_unit lodestone-speaker-core epoch-forgotten-with-the-claim \
  'is_used || now < record.heard + stale' '{ let _ = (stale, now); is_used }' || failed=1
# A holder of the key makes a node remember claims to any number of addresses.
mutate_unit lodestone-speaker-core claims-without-limit \
  'is_full' 'false && is_full' || failed=1
# Forged hosts on one interface displace those that are known on another.
mutate_unit lodestone-speaker-core hosts-of-all-interfaces-share-a-limit \
  'host.interface == interface' 'true || host.interface == interface' || failed=1
# A peer that is not watched on a segment counts as heard there, so an isolated node takes over.
mutate_unit lodestone-speaker-core unwatched-peer-is-heard-everywhere \
  'watches_some && !is_watched(node)' 'false' || failed=1
# A deputy does not answer, so that a client without a neighbour entry gets no answer.
mutate_unit lodestone-speaker-core deputy-does-not-answer \
  'self.duties.get(&address)?' 'self.duties.get(&address).filter(|_| false)?' || failed=1
# What a node took while others were missing stays where it is.
mutate surplus-not-offered \
  'self.next_offer(view, &provisional, (all, load))' 'None.or_else(|| self.next_offer(view, &provisional, (all, load)).filter(|_| false))' || failed=1
# What a node took while others were missing goes to any node.
mutate_unit lodestone-speaker-core any-node-gets-the-surplus \
  'missing.iter()' '{ let _ = missing; verdicts.keys().filter(|node| *node != me) }' || failed=1
# A restart of all speakers spreads what a node owned before.
mutate_unit lodestone-speaker-core restart-of-all-speakers-spreads \
  'if was_ours {' 'if was_ours && false {' || failed=1
# A node goes on to count the time without an owner although the former owner has returned.
mutate_unit lodestone-speaker-core return-of-a-released-claim-not-noticed \
  ' || was_released != self.released' '' || failed=1
# A speaker that hears no peer does not ask the wire before it answers.
mutate deaf-speaker-does-not-ask \
  ' && !self.hears_nobody(case)' '' || failed=1
# The owner of an address that comes back waits for the others, which wait for it.
mutate former-owner-waits-its-turn \
  'comes_back || ' '' || failed=1
# A node that the others declare failed takes over from an owner that is present.
mutate unheard-node-takes-over \
  'state.better_since = None' '{ let _ = &state; }' || failed=1
# Two parts of a segment take an address from each other over another network.
mutate_unit lodestone-speaker-core parts-of-a-segment-take-turns \
  'self.is_distant(view, snapshot, received, since)' 'self.is_distant(view, snapshot, received, since) && false' || failed=1
# Above eight nodes an owner yields to a node of another part.
mutate frame-of-the-claimant-not-awaited \
  'last.is_none_or(' 'false && last.is_none_or(' || failed=1
exit $failed
