#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# exec.sh [--name NAME] COMMAND...: runs a shell command, as root, in the virtual
# machine that is the node.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
name=dev
[[ ${1:-} == --name ]] && { name=$2; shift 2; }
use_cluster "$name"
gone "$state/node.pid" && fail "cluster $name has no remote node: start it with test/remote/up.sh --name $name"
exec ssh -F none -q -i "$state/login_key" -o UserKnownHostsFile="$state/known_hosts" -o BatchMode=yes \
  -o ConnectTimeout=30 "root@$(<"$state/node_address")" "$@"
