#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# load.sh [--name NAME] FILE...: imports image archives (OCI or docker save) into
# the cluster's nodes.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/cluster.sh" load "$@"
