#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# exec.sh [--name NAME] [--node NODE] CMD...: runs a command in a node's
# namespaces: its mounts, network and processes.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/cluster.sh" exec "$@"
