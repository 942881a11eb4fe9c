#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests the local cluster itself, from the machine and from inside pods:
#   hack/cluster/run.sh hack/cluster/smoke/smoke.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
forward=
trap '[[ -z $forward ]] || kill "$forward" 2>/dev/null; rm -rf "$work"' EXIT
chmod 755 "$work"

expect() { # DESCRIPTION WANTED GOT
  if [[ $3 != *"$2"* ]]; then
    echo "FAIL: $1: got '$3', want '$2'" >&2
    exit 1
  fi
  echo "ok: $1: $2"
}

message() { kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].state.terminated.message}'; }

(cd "$here/../../.." && CGO_ENABLED=0 go build -buildvcs=false -o "$work/smoke" ./hack/cluster/smoke)
"$here/../cluster.sh" pack localhost/smoke:local "$work/smoke" "$work/smoke.tar"
"$here/../load.sh" --name "$CLUSTER_NAME" "$work/smoke.tar"

mkdir "$work/volume"
chown 12345:12345 "$work/volume"
sed "s|SMOKE_DIRECTORY|$work/volume|" "$here/smoke.yaml" | kubectl apply -f - >/dev/null

kubectl create job smoke --from=cronjob/smoke >/dev/null
kubectl wait --for=condition=Complete job/smoke --timeout=120s >/dev/null
pod=$(kubectl get pods -l job-name=smoke -o jsonpath='{.items[0].metadata.name}')
expect "a Job's termination message" "written by user 12345" "$(message "$pod")"
expect "kubectl logs" "the volume has written by user 12345" "$(kubectl logs "$pod")"
expect "a hostPath volume on the machine" "written by user 12345" "$(cat "$work/volume/message")"

kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/api pod/api-forbidden --timeout=60s >/dev/null
expect "the API from a pod, with a role" "200 OK" "$(message api)"
expect "the API from a pod, without one" "403 Forbidden" "$(message api-forbidden)"

kubectl wait --for=condition=Ready pod/echo --timeout=60s >/dev/null
expect "kubectl exec" "usage: smoke" "$(kubectl exec echo -- /smoke nothing 2>&1 || true)"
kubectl port-forward pod/echo :8080 >"$work/forward" &
forward=$!
for _ in {1..100}; do
  port=$(sed -n 's/.*127.0.0.1:\([0-9]*\) .*/\1/p' "$work/forward")
  [[ -z $port ]] || break
  sleep 0.1
done
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /smoke HTTP/1.0\r\n\r\n' >&3
expect "kubectl port-forward" "answer to /smoke" "$(cat <&3)"

expect "the versions" "v1.37" "$(kubectl version | grep Server)"
echo "The cluster works."
