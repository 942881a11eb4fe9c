#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# smoke.sh [--name NAME]: tests the remote machines themselves: a pod on the node
# in the virtual machine mounts the NFS export and the SMB share, and what it
# does there is seen in the servers' directories.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
name=dev
[[ ${1:-} == --name ]] && { name=$2; shift 2; }
use_cluster "$name"
work=$(mktemp -d)
settings=$("$remote_dir/up.sh" --name "$name")
declare -A value
while IFS='=' read -r key rest; do value[$key]=$rest; done <<<"$settings"

kubectl() { "$(<"$state/assets")/kubectl" --kubeconfig "/var/lib/backup-operator/$name/kubeconfig" "$@"; }
trap 'kubectl delete --ignore-not-found pod/remote-smoke secret/remote-smoke >/dev/null; rm -rf "$work"' EXIT

expect() { # DESCRIPTION WANTED GOT
  [[ $3 == *"$2"* ]] || fail "FAIL: $1: got '$3', want '$2'"
  echo "ok: $1: $2"
}

"$remote_dir/../../hack/cluster/cluster.sh" pack localhost/remote-smoke:local "$("$remote_dir/tree.sh")/root/bin/busybox" "$work/image.tar"
"$remote_dir/load.sh" --name "$name" "$work/image.tar"
manifest=$(<"$remote_dir/smoke.yaml")
for key in "${!value[@]}"; do manifest=${manifest//"$key"/"${value[$key]}"}; done
kubectl apply -f - <<<"$manifest" >/dev/null

started=$SECONDS
ended() { [[ $(kubectl get pod remote-smoke -o 'jsonpath={.status.phase}') =~ ^(Succeeded|Failed)$ ]]; }
wait_for 300 "the pod" ended || { kubectl describe pod remote-smoke; exit 1; }
expect "the pod after $((SECONDS - started)) s" Succeeded "$(kubectl get pod remote-smoke -o 'jsonpath={.status.phase}') $(kubectl logs remote-smoke)"
log=$(kubectl logs remote-smoke)
expect "the kernel's NFS client" "${value[NFS_SERVER]}:${value[NFS_PATH]}" "$log"
expect "the kernel's CIFS client" "//${value[CIFS_SERVER]}/${value[CIFS_SHARE]}" "$log"
expect "the NFS server's directory" "written through /nfs" "$(cat "${value[NFS_DIRECTORY]}/daily/file")"
expect "the SMB server's directory" "written through /cifs" "$(cat "${value[CIFS_DIRECTORY]}/daily/file")"
expect "root is nobody on the export" 65534 "$(stat -c %u "${value[NFS_DIRECTORY]}/daily/file")"
kubectl delete pod remote-smoke >/dev/null
unmounted() { ! "$remote_dir/exec.sh" --name "$name" 'grep -E " (nfs4|cifs) " /proc/mounts' >/dev/null; }
wait_for 60 "the shares to be unmounted" unmounted
echo "ok: nothing is left mounted"
