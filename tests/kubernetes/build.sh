#!/usr/bin/env bash
# Builds every program of the test cluster that is not Lodestone from its Go module, once. The name
# of the result is made of the sources' content, so that a second checkout finds it. The last line
# of standard output is the folder of the programs; progress goes to standard error.
set -euo pipefail
cd "$(dirname "$0")"

KUBERNETES=v1.37.2
cache=${LODESTONE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lodestone}/kubernetes
command -v go >/dev/null || { echo "build.sh: Go is missing: install Go 1.26 or newer and put it on the PATH" >&2; exit 1; }
key=$({ go env GOVERSION GOARCH; cat build.sh ./*/go.mod ./*/go.sum ./*/*.go; } | sha256sum | cut -c1-16)
out=$cache/$key

# compile MODULE WHAT BUILD-ARGUMENTS...: a build that says every ten seconds how far it is.
compile() {
  local module=$1 what=$2 log started count
  shift 2
  log=$(mktemp) started=$SECONDS
  echo "building $what ..." >&2
  (cd "$module" && exec go build -v -trimpath "$@") >"$log" 2>&1 &
  local build=$!
  while kill -0 $build 2>/dev/null; do
    sleep 1
    if ((SECONDS - started > 0 && (SECONDS - started) % 10 == 0)); then
      count=$(wc -l <"$log")
      echo "  $what: $count packages compiled, $((SECONDS - started)) s" >&2
    fi
  done
  if ! wait $build; then
    grep -v '^[a-z0-9.-]*\.[a-z]*/[^ ]*$' "$log" | tail -n 40 >&2
    echo "build.sh: $what did not build" >&2
    exit 1
  fi
  rm -f "$log"
  echo "  $what: built in $((SECONDS - started)) s" >&2
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -d "$out" ]; then
  tmp=$(mktemp -d "$cache/build.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  version=k8s.io/component-base/version
  compile kubernetes "Kubernetes $KUBERNETES and etcd (about 7 minutes the first time)" -o "$tmp/kubernetes" \
    -ldflags "-s -w -X $version.gitVersion=$KUBERNETES -X $version.gitMajor=1 -X $version.gitMinor=37" .
  for name in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
    ln -s kubernetes "$tmp/$name"
  done
  export CGO_ENABLED=0
  compile containerd "containerd and the CNI plugins" -o "$tmp/" -tags no_btrfs,no_devmapper,no_zfs -ldflags "-s -w" tool
  compile helm "helm" -o "$tmp/" -ldflags "-s -w" tool
  chmod 755 "$tmp"
  mv "$tmp" "$out"
  # Older builds are of no use to this checkout, but may be to another: only those that nobody touched for a month go.
  find "$cache" -mindepth 1 -maxdepth 1 -type d -mtime +30 ! -path "$out" -exec rm -rf {} +
fi
touch "$out"
echo "$out"
