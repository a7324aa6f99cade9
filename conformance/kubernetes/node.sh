#!/usr/bin/env bash
# Plays the node of one Deployment, because the test's cluster has none. For its Pod, one after the other: puts what the Pod
# mounts into FOLDER, runs the program that its image stands for with its arguments, reports it as ready when the server
# says so, and ends the server when the Pod is to go. What the Pod is reached by is the ClusterIP of the webhook's Service,
# on this machine's loopback. A claim's volume is there as long as the claim.
#
# usage: node.sh NAMESPACE DEPLOYMENT FOLDER PROCESS API_ADDRESS        (kubectl, jq, curl and binauthz on PATH)
#
# Runs until it is killed or PROCESS is gone. The API listens at API_ADDRESS: nobody forwards a port to a Pod here.
set -euo pipefail

namespace="$1" name="$2" folder="$3" process="$4" api="$5"
data="$folder/var/lib/binauthz/data"
mkdir -p "$folder/var/lib" "$folder/volumes"
server="" held=""
# A Pod is gone when what runs of it has ended, as with a kubelet: a finalizer holds it until then.
stop() {
  [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
  server=""
  [ -z "$held" ] || k patch pod "$held" --type=merge -p '{"metadata": {"finalizers": null}}' >/dev/null 2>&1 || true
  held=""
}
trap stop EXIT
trap 'exit 0' TERM INT

server_of_kubernetes="$(kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}')"
apiserver_host="${server_of_kubernetes#https://}" apiserver_port="${server_of_kubernetes##*:}"
apiserver_host="${apiserver_host%:*}"

k() { kubectl --namespace="$namespace" "$@"; }
pause() { kill -0 "$process" 2>/dev/null || exit 0; sleep 0.1; }

pending() {
  k get pods -l "app.kubernetes.io/name=$name" --field-selector=status.phase=Pending -o json 2>/dev/null |
    jq -er '[.items[] | select(.metadata.deletionTimestamp == null)][0].metadata.name'
}

# mount VOLUME FIELD KIND: the files of a Secret or ConfigMap, where the Pod has them.
mount() {
  local object path
  object="$(jq -r --arg volume "$1" ".spec.volumes[] | select(.name == \$volume) | $2" "$folder/pod.json")"
  path="$folder$(jq -r --arg volume "$1" '.spec.containers[0].volumeMounts[] | select(.name == $volume) | .mountPath' "$folder/pod.json")"
  mkdir -p "$path"
  k get "$3" "$object" -o json >"$folder/object.json" || return
  jq -r '.data | keys[]' "$folder/object.json" | while read -r key; do
    jq -j --arg key "$key" '.data[$key]' "$folder/object.json" | if [ "$3" = secret ]; then base64 -d; else cat; fi >"$path/$key"
  done
}

ready() {
  curl -sfS --cacert "$data/webhook-ca.pem" "$(jq -r .health "$data/addresses.json")/readyz" >/dev/null 2>&1
}

run() { # run POD
  k get pod "$1" -o json >"$folder/pod.json" || return 0
  until mount credentials .secret.secretName secret && mount config .configMap.name configmap; do pause; done
  if jq -e '.spec.volumes[] | select(.name == "webhook")' "$folder/pod.json" >/dev/null; then
    until mount webhook .secret.secretName secret; do pause; done
  fi
  local config="$folder/etc/binauthz/config/binauthz.yaml" account="$folder/serviceaccount"
  sed -i -e "s|/etc/binauthz|$folder/etc/binauthz|" -e "s|^guard:|&\n  serviceAccount: $account|" "$config"
  if [ "$(jq .spec.automountServiceAccountToken "$folder/pod.json")" = true ]; then
    mkdir -p "$account"
    k create token "$(jq -r .spec.serviceAccountName "$folder/pod.json")" >"$account/token" || return 0
    k get configmap kube-root-ca.crt -o jsonpath='{.data.ca\.crt}' >"$account/ca.crt" || return 0
    printf %s "$namespace" >"$account/namespace"
  fi
  local address arguments claim
  claim="$(jq -r '.spec.volumes[] | select(.name == "data") | .persistentVolumeClaim.claimName' "$folder/pod.json")"
  claim="$(k get persistentvolumeclaim "$claim" -o jsonpath='{.metadata.uid}')" || return 0
  mkdir -p "$folder/volumes/$claim"
  ln -sfn "$folder/volumes/$claim" "$folder/var/lib/binauthz"
  address="$(k get service "$name-webhook" -o jsonpath='{.spec.clusterIP}')" || return 0
  mapfile -t arguments < <(jq -r '.spec.containers[0].args[]' "$folder/pod.json" | sed -E "s#=/(etc|var)/#=$folder/\1/#")
  rm -f "$data/addresses.json"
  export KUBERNETES_SERVICE_HOST="$apiserver_host" KUBERNETES_SERVICE_PORT="$apiserver_port"
  binauthz "${arguments[@]}" --webhook-listen="$address:8443" --api-listen="$api" --health-listen=127.0.0.1:0 \
    >>"$folder/log" 2>&1 &
  server=$!
  echo "$server" >"$folder/pid"
  until ready; do
    # A container that ends is started again.
    kill -0 "$server" 2>/dev/null || { pause; return 0; }
    pause
  done
  held="$1"
  k patch pod "$1" --type=merge -p '{"metadata": {"finalizers": ["binauthz.example/node"]}}' >/dev/null || return 0
  k patch pod "$1" --subresource=status --type=merge -p '{"status": {"phase": "Running", "conditions": [
    {"type": "Ready", "status": "True", "lastTransitionTime": "'"$(date -u +%Y-%m-%dT%H:%M:%SZ)"'"}]}}' >/dev/null || return 0
  while k get pod "$1" -o json 2>/dev/null | jq -e '.metadata.deletionTimestamp == null' >/dev/null &&
    kill -0 "$server" 2>/dev/null; do pause; done
}

while true; do
  if pod="$(pending)"; then
    run "$pod"
    stop
  fi
  pause
done
