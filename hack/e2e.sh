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

say() { echo "e2e: $*" >&2; }

# Inside the cluster: install and test.
if [[ ${E2E_IMAGE_ARCHIVE:-} ]]; then
  say "loading the image into the nodes"
  hack/cluster/load.sh --name "$CLUSTER_NAME" "$E2E_IMAGE_ARCHIVE"

  # One of the nodes is for pods that ask for it, so that a run that ends up there has followed such a pod.
  kubectl taint node node-2 reserved=true:NoSchedule >&2

  say "starting a file server, and a node that can mount NFS and CIFS, meanwhile"
  work=$(mktemp -d)
  remote=
  clean_up() {
    if [[ $remote ]]; then
      kill "$remote" 2>/dev/null || true
      wait "$remote" 2>/dev/null || true
    fi
    test/remote/down.sh --name "$CLUSTER_NAME" || say "the file server and its node are left"
    rm -rf "$work" ${overlay:+"$overlay"}
  }
  trap clean_up EXIT
  test/remote/up.sh --name "$CLUSTER_NAME" --image "$E2E_IMAGE_ARCHIVE" >"$work/settings" 2>"$work/remote.log" &
  remote=$!

  say "installing with kustomize"
  mkdir -p bin
  overlay=$(mktemp -d -p bin)
  mkdir "$overlay/image"
  cat >"$overlay/image/kustomization.yaml" <<END
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
images: [{name: localhost/appliance-backup-operator, newName: "${E2E_IMAGE%:*}", newTag: "${E2E_IMAGE##*:}"}]
END
  cat >"$overlay/kustomization.yaml" <<END
resources: [../../config/default]
components: [image, ../../config/components/runner-image]
END
  "$E2E_KUSTOMIZE" build "$overlay" >"$overlay/all.yaml"
  kubectl apply --server-side -f "$overlay/all.yaml" >&2
  kubectl -n backup-operator-system rollout status deployment --timeout=3m >&2
  go test -tags e2e -count=1 -timeout 10m -v -run '^TestTotalOfBackups$' ./test/e2e
  kubectl delete --wait -f "$overlay/all.yaml" >&2

  say "waiting for the file server and its node"
  if ! wait "$remote"; then
    cat "$work/remote.log" >&2
    exit 1
  fi
  remote=
  while IFS='=' read -r key value; do export "REMOTE_$key=$value"; done <"$work/settings"

  say "installing the chart"
  "$E2E_HELM" install backup-operator charts/backup-operator --namespace backup-operator-system --create-namespace \
    --set image.repository="${E2E_IMAGE%:*}" --set image.tag="${E2E_IMAGE##*:}" --set startGrace=10s --wait --timeout 5m >&2
  say "testing the runner on a kernel's own NFS and CIFS mounts"
  test/remote/runner.sh --name "$CLUSTER_NAME" >&2
  say "testing"
  # What the documentation says ends with the removal of the release.
  last='^TestEveryDocumentedCommand$'
  go test -tags e2e -count=1 -timeout 60m -parallel 4 -v -skip "$last" "$@" ./test/e2e
  if (($# == 0)); then
    say "running every command of the documentation"
    go test -tags e2e -count=1 -timeout 20m -v -run "$last" ./test/e2e
  fi
  exit
fi

if ((EUID != 0)); then
  echo "hack/e2e.sh: a cluster with a real kubelet needs root: run it with sudo" >&2
  exit 1
fi
hack/install-packages.sh test/packages.txt
say "building helm, kustomize and the image"
E2E_HELM=$(hack/tools/build.sh helm)
E2E_KUSTOMIZE=$(hack/tools/build.sh kustomize)
E2E_IMAGE=localhost/appliance-backup-operator:dev
E2E_IMAGE_ARCHIVE=$(hack/image/build.sh --image "$E2E_IMAGE")
export E2E_HELM E2E_KUSTOMIZE E2E_IMAGE E2E_IMAGE_ARCHIVE
say "starting a cluster"
exec hack/cluster/run.sh --nodes 2 hack/e2e.sh "$@"
