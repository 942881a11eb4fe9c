#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: hack/tools/build.sh TOOL...
#
# Builds development tools at the versions that go.mod beside this file pins, and prints the
# path of each. What has been built stays in a cache outside the checkout, under a key made of
# everything a tool is built from: a second call costs milliseconds, another version never meets
# an old binary. Progress goes to standard error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# package TOOL prints the Go package that TOOL is built from.
package() {
  case $1 in
  controller-gen) echo sigs.k8s.io/controller-tools/cmd/controller-gen ;;
  crd-ref-docs) echo github.com/elastic/crd-ref-docs ;;
  golangci-lint) echo ./golangci-lint ;;
  helm) echo helm.sh/helm/v4/cmd/helm ;;
  kubeconform) echo github.com/yannh/kubeconform/cmd/kubeconform ;;
  kustomize) echo sigs.k8s.io/kustomize/kustomize/v5 ;;
  *)
    echo "hack/tools/build.sh: unknown tool \"$1\": use controller-gen, crd-ref-docs, golangci-lint, helm, kubeconform or kustomize" >&2
    return 2
    ;;
  esac
}

cache=${BACKUP_OPERATOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or BACKUP_OPERATOR_CACHE}/.cache}/backup-operator}
key=$({ go env GOVERSION GOOS GOARCH && cat "$here"/{go.mod,go.sum,build.sh} "$here"/golangci-lint/*.go; } | sha256sum | cut -c1-16)
bin=$cache/tools/$key

for tool in "$@"; do
  main=$(package "$tool")
  if [[ ! -x $bin/$tool ]]; then
    echo "building $tool once, into $bin (minutes with a cold Go cache)" >&2
    mkdir -p "$bin"
    # Built under another name and renamed, so that a killed build leaves nothing that looks finished.
    (cd "$here" && CGO_ENABLED=0 GOWORK=off go build -trimpath -ldflags='-s -w' -o "$bin/.$tool.$$" "$main") >&2
    mv "$bin/.$tool.$$" "$bin/$tool"
  fi
  echo "$bin/$tool"
done
