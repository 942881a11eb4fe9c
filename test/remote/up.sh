#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# up.sh [--name NAME] [--image FILE]...: adds to the local cluster of that name
# (hack/cluster/up.sh) a network storage with an NFS export and an SMB share, and
# a node whose kernel can mount both. Prints what a test needs as KEY=VALUE lines.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$remote_dir/node.sh"

name=dev images=()
while (($#)); do
  case $1 in
  --name) name=$2 ;;
  --image) images+=("$2") ;;
  *) fail "usage: up.sh [--name NAME] [--image FILE]..." ;;
  esac
  shift 2
done
need_root
use_cluster "$name"
cluster_dir=/var/lib/backup-operator/$name
pki=$cluster_dir/pki
[[ -e $cluster_dir/kubeconfig ]] || fail "there is no cluster '$name': start it with hack/cluster/up.sh --name $name"

print_settings() {
  read -r username password <"$state/credentials"
  cat <<END
NODE_NAME=$node_name
NODE_LABEL=remote=true
NODE_TAINT=remote=true:NoSchedule
NFS_SERVER=$nas_address
NFS_PATH=/export/nfs
NFS_DIRECTORY=$state/nfs
CIFS_SERVER=$nas_address
CIFS_SHARE=backups
CIFS_DIRECTORY=$state/cifs
CIFS_USERNAME=$username
CIFS_PASSWORD=$password
END
}

started=$SECONDS
need qemu-system-x86_64=qemu-system-x86 mke2fs=e2fsprogs cpio=cpio ip=iproute2 unshare=util-linux openssl=openssl ssh=openssh-client
assets=$("$remote_dir/../../hack/cluster/build.sh" --own)
kubectl=("$assets/kubectl" --kubeconfig "$cluster_dir/kubeconfig")
server=$("${kubectl[@]}" config view -o 'jsonpath={.clusters[0].cluster.server}')
# "172.30.0.2 dev bo1234 src 172.30.0.1 uid 0": the cluster's bridge.
route=$(ip -o -4 route get "$(sed 's|.*//\(.*\):.*|\1|' <<<"$server")")
bridge=$(sed 's/.* dev \([^ ]*\).*/\1/' <<<"$route")
gateway=$(sed 's/.* src \([^ ]*\).*/\1/' <<<"$route")
network=${gateway%.*}
node_address=$network.$node_host nas_address=$network.$nas_host

if ours "$state/node.pid" && ours "$state/nas.pid"; then
  say "is up already"
  ((${#images[@]} == 0)) || "$remote_dir/load.sh" --name "$name" "${images[@]}"
  print_settings
  exit
fi
# What an interrupted test left behind, of this cluster and of those that are gone.
"$remote_dir/down.sh" --name "$name"
for other in "$state_root"/*; do
  [[ ! -d $other || -e /var/lib/backup-operator/${other##*/}/kubeconfig ]] || "$remote_dir/down.sh" --name "${other##*/}"
done
tree=$("$remote_dir/tree.sh")

mkdir -p "$state"/{nfs,cifs}
chmod 711 "$state_root" "$state"
trap 'status=$?; ((status == 0)) || { tail -n 20 "$state"/*.log >&2 || true; "$remote_dir/down.sh" --name "$name"; }' EXIT
trap 'exit 130' INT TERM HUP
echo "$assets" >"$state/assets"
echo "$node_address" >"$state/node_address"
(umask 077 && echo "backup $(openssl rand -hex 12)" >"$state/credentials")

"${kubectl[@]}" apply -f "$remote_dir/manifests.yaml" >&2
write_node_disk
write_initrd
start_node

setsid unshare --net --mount --pid --uts --ipc --fork --kill-child \
  "$remote_dir/nas.sh" "$tree" "$state" "$nas_address/24" </dev/null >>"$state/nas.log" 2>&1 &
nas=$!
remember "$state/nas.pid" "$nas"
separate() { [[ $(readlink "/proc/$nas/ns/net") != "$(readlink /proc/self/ns/net)" ]]; }
wait_for 10 "the storage's namespaces" separate
ip link add "${interface}n" type veth peer name eth0 netns "$nas"
ip link set "${interface}n" master "$bridge" up

listens() { ours "$state/nas.pid" && timeout 1 bash -c "exec 3<>/dev/tcp/$nas_address/$1" 2>/dev/null; }
wait_for 60 "the NFS server" listens 2049
wait_for 60 "the SMB server" listens 445
say "the servers answer after $((SECONDS - started)) s; the node starts"

node_ready() {
  [[ $("${kubectl[@]}" get node "$node_name" --ignore-not-found \
    -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]
}
driver_ready() {
  [[ " $("${kubectl[@]}" get csinode "$node_name" --ignore-not-found -o 'jsonpath={.spec.drivers[*].name}') " == *" smb.csi.k8s.io "* ]]
}
wait_for 600 "the node" node_ready
wait_for 120 "the CSI driver" driver_ready
((${#images[@]} == 0)) || "$remote_dir/load.sh" --name "$name" "${images[@]}"
say "ready after $((SECONDS - started)) s"
print_settings
