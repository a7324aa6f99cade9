#!/usr/bin/env bash
# A Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager of the folder $KUBEBUILDER_ASSETS,
# with certificates and tokens of its own. There are no nodes: what is admitted stays pending.
#
# usage: cluster.sh FOLDER ETCD_PORT PEER_PORT API_PORT [FLAG_OF_KUBE_APISERVER...]
#
# Writes FOLDER/kubeconfig (contexts `my-cluster`, an administrator, and `alice`, who may deploy), then FOLDER/ready. It
# runs as long as its standard input is open, so that it ends with whoever started it, in whatever way that ends; then
# it removes FOLDER. A line `restart NAME` of its standard input kills kube-apiserver and starts it anew, and makes the
# file FOLDER/NAME when it is ready again. A line `beside NAME PORT FLAG...` starts one more of the same cluster, with
# these flags.
set -euo pipefail

folder="$1" etcd=http://127.0.0.1:"$2" peer=http://127.0.0.1:"$3" port="$4"
shift 4
flags=("$@")
assets="$KUBEBUILDER_ASSETS"
cd "$folder"
exec 3<&0 4>&2 </dev/null >log 2>&1

declare -A programs=()
end() {
  trap - EXIT
  [ -e ready ] || tail -n 20 log ./*.log >&4
  [ "${#programs[@]}" -eq 0 ] || kill -KILL "${programs[@]}" || true
  wait || true
  rm -rf "$folder"
}
trap end EXIT
trap exit TERM INT

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

certificates() {
  key ca
  openssl req -x509 -new -key ca.key -days 2 -subj /CN=test-cluster-ca -out ca.pem
  key server
  openssl req -new -key server.key -subj /CN=kube-apiserver -out server.csr
  printf 'subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:127.100.0.1\n' >server.ext
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem
  # The administrator shows a certificate, as kubeadm's does; the others show tokens.
  key admin
  openssl req -new -key admin.key -subj /O=system:masters/CN=admin -out admin.csr
  printf 'extendedKeyUsage=clientAuth\n' >admin.ext
  openssl x509 -req -in admin.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile admin.ext -out admin.pem
  # What the API server shows to webhooks: it speaks for the tutorial's cluster.
  key callers
  openssl req -x509 -new -key callers.key -days 2 -subj /CN=webhook-callers -out callers.pem
  key caller
  openssl req -new -key caller.key -subj /CN=my-cluster -out caller.csr
  printf 'subjectAltName=URI:urn:binauthz:cluster:%s\nextendedKeyUsage=clientAuth\n' \
    projects/demo/locations/us-central1-a/clusters/my-cluster >caller.ext
  openssl x509 -req -in caller.csr -CA callers.pem -CAkey callers.key -CAcreateserial -days 2 -extfile caller.ext -out caller.pem
  # Tokens of service accounts.
  key accounts
  openssl ec -in accounts.key -pubout -out accounts.pub
}

# context NAME USER: a context of the one cluster.
context() { printf -- '- {name: %s, context: {cluster: test, user: %s, namespace: default}}\n' "$1" "$2"; }

kubeconfig() {
  cat <<END
apiVersion: v1
kind: Config
current-context: my-cluster
clusters:
- {name: test, cluster: {server: "https://127.0.0.1:$port", certificate-authority-data: $(base64 -w0 ca.pem)}}
users:
- {name: admin, user: {client-certificate-data: $(base64 -w0 admin.pem), client-key-data: $(base64 -w0 admin.key)}}
- {name: alice, user: {token: "$alice"}}
- {name: controllers, user: {token: "$controllers"}}
contexts:
$(context my-cluster admin)
$(context alice alice)
$(context controllers controllers)
END
}

# What the API server shows to which webhook: the same to all.
admission() {
  cat >webhooks.kubeconfig <<END
apiVersion: v1
kind: Config
users:
- {name: '*', user: {client-certificate: $PWD/caller.pem, client-key: $PWD/caller.key}}
END
  local config="{apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: $PWD/webhooks.kubeconfig}"
  cat >admission.yaml <<END
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- {name: ValidatingAdmissionWebhook, configuration: $config}
- {name: MutatingAdmissionWebhook, configuration: $config}
END
}

run() { # run NAME FLAG...: starts a program whose end is the end of everything.
  local name="$1"
  shift
  "$assets/$name" "$@" >>"$name.log" 2>&1 &
  programs[$name]="$!"
}

kubectl() { "$assets/kubectl" --kubeconfig=kubeconfig "$@"; }

# until_ok LIMIT COMMAND...: again and again, for so many tenths of a second.
until_ok() {
  local left="$1"
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$((left -= 1))" -gt 0 ] || { echo "never came: $*"; exit 1; }
    for program in "${programs[@]}"; do kill -0 "$program" || { echo "a program ended"; exit 1; }; done
    sleep 0.1
  done
}

certificates
alice="$(openssl rand -hex 16)" controllers="$(openssl rand -hex 16)"
printf '%s,alice@example.com,1,developers\n%s,system:kube-controller-manager,2\n' "$alice" "$controllers" >tokens.csv
kubeconfig >kubeconfig
admission
printf 'apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- {level: None, verbs: [get, list, watch]}\n- {level: Metadata}\n' >audit.yaml

run etcd --data-dir=etcd --unsafe-no-fsync --name=test --initial-cluster="test=$peer" --initial-advertise-peer-urls="$peer" \
  --listen-peer-urls="$peer" --listen-client-urls="$etcd" --advertise-client-urls="$etcd"
# Every ClusterIP is a loopback address: a Service reaches what listens there, without kube-proxy.
api_server() { # api_server PORT FLAG...
  local port="$1"
  shift
  run kube-apiserver --etcd-servers="$etcd" --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port="$port" \
    --endpoint-reconciler-type=none --service-cluster-ip-range=127.100.0.0/24 --client-ca-file=ca.pem \
    --tls-cert-file=server.pem --tls-private-key-file=server.key --token-auth-file=tokens.csv --authorization-mode=RBAC \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=accounts.pub \
    --service-account-signing-key-file=accounts.key --allow-privileged=true \
    --admission-control-config-file=admission.yaml \
    --audit-policy-file=audit.yaml --audit-log-path=audit.log "${flags[@]}" "$@"
  until_ok 900 kubectl --server="https://127.0.0.1:$port" get --raw=/readyz
}
api_server "$port"
run kube-controller-manager --kubeconfig=kubeconfig --authentication-kubeconfig=kubeconfig \
  --authorization-kubeconfig=kubeconfig --secure-port=0 --leader-elect=false --use-service-account-credentials=true \
  --service-account-private-key-file=accounts.key --root-ca-file=ca.pem
kubectl create clusterrole developer --verb='*' --resource=pods,pods/ephemeralcontainers,pods/status,podtemplates \
  --resource=replicationcontrollers,deployments.apps,deployments.apps/scale,replicasets.apps,statefulsets.apps \
  --resource=daemonsets.apps,jobs.batch,cronjobs.batch,events
kubectl create clusterrolebinding developers --clusterrole=developer --group=developers
until_ok 900 kubectl get serviceaccount default
touch ready
# The end of its standard input is its own.
while read -r order name others <&3; do
  case "$order" in
    restart)
      # Without a warning, as a power cut would.
      kill -KILL "${programs[kube-apiserver]}"
      wait "${programs[kube-apiserver]}" || true
      api_server "$port"
      ;;
    beside)
      first="${programs[kube-apiserver]}"
      # shellcheck disable=SC2086 # They are several.
      api_server $others
      programs[$name]="${programs[kube-apiserver]}" programs[kube-apiserver]="$first"
      ;;
    *) echo "unknown order: $order"; exit 1 ;;
  esac
  touch "$name"
done
