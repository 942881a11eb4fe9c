#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: hack/sync-chart.sh
#
# Copies the CRD and the roles of config/ into the chart, which can read no file outside itself. The chart's templates
# take from these copies what the CRD says and what each role may do, so that neither is written twice.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
files=charts/backup-operator/files

rm -rf "$files"
mkdir -p "$files/crds" "$files/rbac"
cp config/crd/bases/*.yaml "$files/crds/"
cp config/rbac/*role.yaml "$files/rbac/"
