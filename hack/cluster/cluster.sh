#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds what a local cluster runs (build.sh) and the program that runs it
# (localcluster), and becomes that program: cluster.sh COMMAND [ARGUMENT...].
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${BACKUP_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/backup-operator}/cluster

# Not KUBEBUILDER_ASSETS: that one need not have a kubelet.
CLUSTER_ASSETS=$("$here/build.sh" --own)
CLUSTER_PAUSE=$bin/pause
export CLUSTER_ASSETS CLUSTER_PAUSE

mkdir -p "$bin"
(cd "$here" && CGO_ENABLED=0 go build -buildvcs=false -o "$bin/" ./localcluster ./pause)
exec "$bin/localcluster" "$@"
