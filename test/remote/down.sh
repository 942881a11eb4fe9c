#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# down.sh [--name NAME]: removes what up.sh made: the node, the servers, their
# interfaces and files. Does no harm when there is nothing, or half of it.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
name=dev
[[ ${1:-} == --name ]] && { name=$2; shift 2; }
(($# == 0)) || fail "usage: down.sh [--name NAME]"
need_root
use_cluster "$name"
stop "$state/node.pid"
stop "$state/nas.pid"
for end in v n; do
  [[ ! -e /sys/class/net/$interface$end ]] || ip link delete "$interface$end"
done
kubeconfig=/var/lib/backup-operator/$name/kubeconfig
if [[ -e $kubeconfig && -e $state/assets ]]; then
  # Best effort: the cluster may be gone already.
  "$(<"$state/assets")/kubectl" --kubeconfig "$kubeconfig" --request-timeout=5s delete --ignore-not-found \
    "node/$node_name" >/dev/null 2>&1 || true
fi
rm -rf --one-file-system "$state"
rmdir "$state_root" 2>/dev/null || true
