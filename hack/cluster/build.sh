#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
# kube-proxy, kubelet and kubectl from Go modules, or finds them built, and
# prints the directory that holds them. That directory serves as
# KUBEBUILDER_ASSETS for envtest; when KUBEBUILDER_ASSETS is set already, that
# one is printed and nothing is built. No root needed.
set -euo pipefail

if [[ -n ${KUBEBUILDER_ASSETS:-} && ${1:-} != --own ]]; then
  echo "$KUBEBUILDER_ASSETS"
  exit
fi

programs=(etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet)
cache=${BACKUP_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/backup-operator}/kubernetes
cd "$(dirname "${BASH_SOURCE[0]}")/kubernetes"

export CGO_ENABLED=0 GOWORK=off
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${version#v}"
stamp=-s\ -w
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  stamp+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
  stamp+=" -X $package.gitTreeState=clean"
done

# Whatever changes the result is part of the directory's name.
key=$({ cat go.mod go.sum ./*.go; go env GOVERSION GOOS GOARCH; echo "$stamp"; } | sha256sum | cut -c1-12)
assets=$cache/$version-$key

if [[ ! -e $assets ]]; then
  mkdir -p "$cache"
  exec 9>"$cache/.lock"
  if ! flock --nonblock 9; then
    echo "Waiting for another build of the cluster's binaries to end." >&2
    flock 9
  fi
fi
if [[ ! -e $assets ]]; then
  echo "Building Kubernetes $version and etcd from Go modules. The first time this takes 10 minutes or more on two cores." >&2
  rm -rf "$cache"/.build.* # of builds that were killed: the lock says that none is running
  temporary=$(mktemp -d "$cache/.build.XXXXXX")
  trap 'rm -rf "$temporary"' EXIT
  chmod 755 "$temporary"
  started=$SECONDS
  go build -buildvcs=false -ldflags "$stamp" -o "$temporary/cluster-node" . >&2
  for program in "${programs[@]}"; do
    ln -s cluster-node "$temporary/$program"
  done
  mv -T "$temporary" "$assets"
  echo "Built in $((SECONDS - started)) s: $assets" >&2
fi
echo "$assets"
