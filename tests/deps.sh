#!/usr/bin/env bash
# Checks what a set of make targets needs, and installs what is missing.
#   deps.sh rust      Rust and a linker: for `make unit doc`. Installs nothing.
#   deps.sh lint      also Python 3, and cargo-deny, built into the user's own ~/.cargo. No root.
#   deps.sh cluster   Rust, Go, and the Debian packages of the cluster tests and the sandbox. Needs
#                     root if a package is missing.
#   deps.sh tools     shellcheck for `make test`, and python3 for `make lint` and
#                     `make sim-mutations`. Needs root if one is missing.
set -euo pipefail

rust() {
  command -v cargo >/dev/null || { echo "Rust is missing: install rustup. rust-toolchain.toml names the toolchain." >&2; exit 1; }
  command -v cc >/dev/null || { echo "A linker is missing: install gcc or clang." >&2; exit 1; }
}

lint() {
  rust
  command -v python3 >/dev/null || { echo "Python 3 is missing: install python3. It runs a check of the imports." >&2; exit 1; }
  cargo deny --version >/dev/null 2>&1 && return
  echo "building cargo-deny (some minutes, once) ..." >&2
  # Without optimisation the build takes a third of the time. The program runs for a second.
  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_PROFILE_RELEASE_DEBUG=false \
    cargo install --quiet --locked --version 0.20.2 cargo-deny >&2
}

packages=()
need() { # PROGRAM PACKAGE
  PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null || packages+=("$2")
}

install_missing() {
  ((${#packages[@]})) || return 0
  if [ "$(id -u)" != 0 ]; then
    echo "These packages are missing: ${packages[*]}. Install them, or run this as root." >&2
    exit 1
  fi
  echo "installing ${packages[*]} ..." >&2
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
}

tools() {
  need python3 python3
  need shellcheck shellcheck
  install_missing
}

cluster() {
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
  install_missing
  rust
  command -v go >/dev/null || { echo "Go is missing: install Go 1.26 or newer. It builds the Kubernetes of the tests." >&2; exit 1; }
}

case ${1:-} in
  rust | lint | cluster | tools) "$1" ;;
  *) echo "usage: $0 rust|lint|cluster|tools" >&2; exit 2 ;;
esac
