#!/usr/bin/env bash
# `make sandbox` starts a Kubernetes cluster with Lodestone on this machine, to try things out.
# `make sandbox-down` removes it. `make sandbox LAYOUT=overlay` gives it other networks: see
# `target/debug/cluster up --help`.
set -euo pipefail
cd "$(dirname "$0")/.."

NAME=${LODESTONE_SANDBOX:-sandbox}
STATE=/run/lodestone/$NAME
LAYOUT=${LAYOUT:-flat}

say() { printf '\n== %s\n' "$*" >&2; }

if [ "$(id -u)" != 0 ]; then
  echo "The sandbox uses network namespaces and containers, which need root. Run \`sudo make sandbox\`." >&2
  exit 1
fi

up() {
  if [ -d "$STATE" ]; then
    echo "The sandbox is up already. \`make sandbox-down\` removes it." >&2
    usage
    return
  fi
  say "Packages that this machine needs"
  tests/deps.sh cluster
  say "Kubernetes (the first build from its sources takes about 7 minutes)"
  tests/kubernetes/build.sh >/dev/null
  say "Lodestone (the first build takes 3 to 5 minutes)"
  make --no-print-directory images >&2
  say "The cluster: a control-plane node, three workers and a client on the LAN (layout: $LAYOUT)"
  local images=() image
  for image in target/images/*.tar target/test-images/*.tar; do images+=(--image "$PWD/$image"); done
  target/debug/cluster up $NAME --layout "$LAYOUT" "${images[@]}" >/dev/null
  export KUBECONFIG=$STATE/kubeconfig PATH=$STATE/bin:$PATH
  say "helm install lodestone charts/lodestone -n metallb-system --create-namespace"
  helm install lodestone charts/lodestone -n metallb-system --create-namespace >/dev/null
  kubectl -n metallb-system rollout status deployment/lodestone-controller daemonset/lodestone-speaker --timeout=90s >&2
  say "kubectl apply -f examples/quickstart.yaml"
  kubectl apply -f examples/quickstart.yaml >&2
  kubectl rollout status deployment/nginx-deployment --timeout=90s >&2
  kubectl wait --for=jsonpath='{.status.loadBalancer.ingress[0].ip}' service/nginxlb --timeout=60s >/dev/null
  for condition in create jsonpath='{.status.node}'; do
    kubectl wait --for="$condition" servicel2status -n metallb-system -l metallb.io/service-name=nginxlb --timeout=60s >/dev/null
  done
  show
  usage
}

show() {
  local address
  address=$(kubectl get service nginxlb -o jsonpath='{.status.loadBalancer.ingress[0].ip}')
  printf '\n$ kubectl get service nginxlb\n'
  kubectl get service nginxlb
  printf '\n$ kubectl -n metallb-system get servicel2statuses\n'
  kubectl -n metallb-system get servicel2statuses
  printf '\nthe client on the LAN$ curl http://%s/\n' "$address"
  nsenter --net=/run/netns/$NAME-client1 curl --silent --show-error --retry 20 --retry-delay 1 --retry-all-errors --max-time 3 "http://$address/"
}

usage() {
  cat <<END

Next:
  export KUBECONFIG=$STATE/kubeconfig PATH=$STATE/bin:\$PATH
  kubectl get services,pods -A -o wide
  kubectl describe service nginxlb
  kubectl -n metallb-system logs daemonset/lodestone-speaker --all-pods
  nsenter --net=/run/netns/$NAME-client1          # a shell on the client: curl http://192.168.122.111, ip neighbour
  make sandbox-down                               # ends everything
END
}

case ${1:-} in
  up) up ;;
  down)
    if [ ! -d "$STATE" ]; then
      echo "There is no sandbox." >&2
      exit 0
    fi
    [ -x target/debug/cluster ] || cargo build --locked -p lodestone-tests --bin cluster
    target/debug/cluster down $NAME
    echo "The sandbox is gone." >&2
    ;;
  *) echo "usage: tests/sandbox.sh up|down" >&2; exit 2 ;;
esac
