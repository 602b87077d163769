#!/usr/bin/env bash
# Installs what the tests and the sandbox need and this machine lacks: packages of Debian (or Ubuntu), and cargo-deny.
set -euo pipefail

packages=()
need() { # PROGRAM PACKAGE
  PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null || packages+=("$2")
}
need arping iputils-arping
need cc gcc
need conntrack conntrack
need curl curl
need ip iproute2
need iptables iptables
need mount mount
need nft nftables
need ping iputils-ping
need runc runc
need sysctl procps
need tcpdump tcpdump
if ((${#packages[@]})); then
  if [ "$(id -u)" != 0 ]; then
    echo "these packages are missing: ${packages[*]}; install them, or run this as root" >&2
    exit 1
  fi
  echo "installing ${packages[*]} ..." >&2
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
fi
command -v cargo >/dev/null || { echo "Rust is missing: install rustup; the toolchain is named in rust-toolchain.toml" >&2; exit 1; }
command -v go >/dev/null || { echo "Go is missing: install Go 1.26 or newer (it builds the Kubernetes of the tests)" >&2; exit 1; }
if [ "${1:-}" != sandbox ] && ! cargo deny --version >/dev/null 2>&1; then
  echo "building cargo-deny (some minutes, once) ..." >&2
  # Without optimisation: it is built in a third of the time, and runs for a second.
  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_PROFILE_RELEASE_DEBUG=false \
    cargo install --quiet --locked --version 0.20.2 cargo-deny >&2
fi
