#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: hack/e2e.sh [GO-TEST-FLAG...]
#
# Tests the product as its users have it: the image from the Dockerfile, installed by the Helm
# chart, on a real cluster that is made for the tests and removed after them, whatever happens.
# Needs root. GO-TEST-FLAGs choose tests, for example: hack/e2e.sh -run TotalBackups
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
image=localhost/appliance-backup-operator:dev

say() { echo "e2e: $*" >&2; }

# Inside the cluster: install and test.
if [[ ${E2E_IMAGE_ARCHIVE:-} ]]; then
  say "loading the image into the node"
  hack/cluster/load.sh --name "$CLUSTER_NAME" "$E2E_IMAGE_ARCHIVE"
  say "installing the chart"
  "$E2E_HELM" install backup-operator charts/backup-operator --namespace backup-system --create-namespace \
    --set image.repository="${image%:*}" --set image.tag="${image##*:}" --wait --timeout 5m >&2
  say "testing"
  exec go test -tags e2e -count=1 -timeout 40m -v "$@" ./test/e2e/...
fi

if ((EUID != 0)); then
  echo "hack/e2e.sh: a cluster with a real kubelet needs root: run it with sudo" >&2
  exit 1
fi
say "building helm and the image"
E2E_HELM=$(hack/tools/build.sh helm)
E2E_IMAGE_ARCHIVE=$(hack/image/build.sh --image "$image")
export E2E_HELM E2E_IMAGE_ARCHIVE
say "starting a cluster"
exec hack/cluster/run.sh hack/e2e.sh "$@"
