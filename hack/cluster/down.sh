#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# down.sh [--name NAME]: removes a cluster and all that belongs to it. Works on
# what is left of a broken one too, and does nothing when there is none.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/cluster.sh" down "$@"
