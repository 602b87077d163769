#!/usr/bin/env bash
# The version of the workspace in Cargo.toml is the only source. The chart repeats it, because Helm
# reads it from Chart.yaml.
# speaker/fuzz has a lock file of its own, which repeats it for two crates.
# Usage: version.sh check   fails if a file names another version
#        version.sh sync    writes the version of Cargo.toml into the others
set -euo pipefail
cd "$(dirname "$0")/../.."

chart=charts/lodestone/Chart.yaml
cargo=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$cargo" ] || { echo "Cargo.toml: no version in [workspace.package]" >&2; exit 1; }

case ${1:-check} in
  check)
    differs=0
    expect() { # KEY VERSION
      local found
      found=$(sed -n "s/^$1: *//p" $chart)
      if [ "$found" != "$2" ]; then
        echo "$chart: $1 is ${found:-missing}, but Cargo.toml has version $cargo: expected $2" >&2
        differs=1
      fi
    }
    expect version "$cargo"
    expect appVersion "v$cargo"
    for lock in Cargo.lock speaker/fuzz/Cargo.lock; do
      for crate in lodestone-crds lodestone-speaker-core; do
        if ! grep -A1 "^name = \"$crate\"" $lock | grep -q "^version = \"$cargo\""; then
          echo "$lock: $crate has another version than Cargo.toml ($cargo)" >&2
          differs=1
        fi
      done
    done
    ((!differs)) || { echo "\`make version\` writes the version of Cargo.toml into these files" >&2; exit 1; }
    ;;
  sync)
    sed -i -e "s/^version: .*/version: $cargo/" -e "s/^appVersion: .*/appVersion: v$cargo/" $chart
    cargo update --quiet --offline --workspace
    cargo update --quiet --offline --manifest-path speaker/fuzz/Cargo.toml --workspace
    ;;
  *) echo "usage: $0 [check|sync]" >&2; exit 2 ;;
esac
