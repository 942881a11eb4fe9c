#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# run.sh [--name NAME] [--nodes N] CMD...: starts a cluster, runs the command with
# KUBECONFIG set and kubectl in PATH, and removes the cluster whatever happens.
# Ends with the command's exit status; when that is not 0, pods, events and logs
# are kept in a directory that is named.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/cluster.sh" run "$@"
