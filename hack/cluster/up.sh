#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# up.sh [--name NAME] [--nodes N]: starts a real Kubernetes on this machine, as
# root, and prints the path of its kubeconfig. Takes what a cluster of that name
# left behind out of the way; refuses when one is running.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/cluster.sh" up "$@"
