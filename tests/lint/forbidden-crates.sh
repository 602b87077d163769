#!/usr/bin/env bash
# Fails if a crate that must stay deterministic depends on something that can reach a socket, an
# async runtime or an API server. The compiler then keeps that wall: code that is not there cannot be
# called. speaker/core/clippy.toml bans what the standard library still offers: clocks, files, sockets
# and threads. Clippy reads one file for each crate, so this check also compares the files.
set -euo pipefail
cd "$(dirname "$0")/../.."

# `kube` itself only re-exports. Without its features it brings kube-core (types) and kube-derive
# (the CRD macro), which lodestone-crds needs. Its I/O is in kube-client and kube-runtime.
kubernetes_clients=(kube-client kube-runtime)
http_and_tls=(axum axum-core h2 hyper hyper-util hyper-rustls native-tls openssl reqwest rustls tokio-rustls tower tower-http ureq)
async_runtimes=(async-executor async-io async-std mio smol tokio tokio-util)
sockets_and_system=(netlink-sys nix pnet_datalink rtnetlink rustix socket2)
command_line=(clap clap_builder)
shells=(lodestone-runtime lodestone-controller lodestone-speaker)

deterministic=("${kubernetes_clients[@]}" "${http_and_tls[@]}" "${async_runtimes[@]}" "${sockets_and_system[@]}" "${command_line[@]}" "${shells[@]}")
types_only=("${kubernetes_clients[@]}" "${http_and_tls[@]}" "${async_runtimes[@]}" "${shells[@]}")

failed=0

check() { # PACKAGE FORBIDDEN...
  local package=$1 tree forbidden
  shift
  if ! tree=$(cargo tree --locked -e normal,build --prefix none -f '{p}' -p "$package" 2>&1); then
    if grep -q "did not match any packages" <<<"$tree"; then
      echo "the workspace has no package $package. If it was renamed, rename it in $0 too." >&2
    else
      echo "cargo tree failed for $package:" >&2
      sed 's/^/  /' <<<"$tree" >&2
    fi
    failed=1
    return
  fi
  for forbidden in "$@"; do
    if grep -q "^$forbidden v" <<<"$tree"; then
      echo "$package must not depend on $forbidden, but does (the first dependents):" >&2
      cargo tree --locked -e normal,build -p "$package" -i "$forbidden" 2>&1 | sed -n '1,6s/^/  /p' >&2
      failed=1
    fi
  done
}

check lodestone-speaker-core "${deterministic[@]}"
check lodestone-controller-core "${deterministic[@]}"
check lodestone-crds "${types_only[@]}"

missing=$(grep -v '^#' clippy.toml | grep -vxFf speaker/core/clippy.toml || true)
if [ -n "$missing" ]; then
  echo "speaker/core/clippy.toml lacks these lines of clippy.toml:" >&2
  sed 's/^/  /' <<<"$missing" >&2
  failed=1
fi
if ! cmp -s speaker/core/clippy.toml controller/core/clippy.toml; then
  echo "controller/core/clippy.toml must be a link to speaker/core/clippy.toml" >&2
  failed=1
fi
exit $failed
