#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: hack/image/build.sh [--image NAME] [--version VERSION]
#
# Builds the project's own Dockerfile with no registry and no container engine, and prints the path of the image: an
# OCI archive that `ctr images import` and `skopeo` read. Needs root and Debian's package mirror; progress goes to
# standard error.
#
#   --image     the image's name in the archive          (localhost/appliance-backup-operator:dev)
#   --version   what `backup-operator version` prints    (dev)
#
# How: Debian's buildah, over stand-ins for the two base images that carry the names the Dockerfile pulls (see base.sh).
# All of it stays in a directory of its own in the project's cache, and mounts in a mount namespace of its own, which
# the kernel takes down however this script ends. Built again only when something that goes into the image has changed.
set -euo pipefail

image=localhost/appliance-backup-operator:dev
version=dev
while (($#)); do
  case $1 in
  --image) image=${2:?--image needs a name} ;;
  --version) version=${2:?--version needs a version} ;;
  *)
    echo "hack/image/build.sh: unknown argument \"$1\": use --image NAME or --version VERSION" >&2
    exit 2
    ;;
  esac
  shift 2
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${BACKUP_OPERATOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or BACKUP_OPERATOR_CACHE}/.cache}/backup-operator}/image
. "$root/hack/image/base.sh"

say() { echo "image: $*" >&2; }

# fingerprint prints a hash of everything that goes into the image.
fingerprint() {
  cd "$root"
  {
    echo "$image $version $(go env GOVERSION GOARCH | xargs)"
    find Dockerfile .dockerignore hack/image go.mod go.sum ./*.go api controllers internal \
      -type f ! -name '*_test.go' ! -path '*/testdata/*' -print0 2>/dev/null | LC_ALL=C sort -z | xargs -0 sha256sum
  } | sha256sum | cut -c1-16
}

# install_packages makes sure of the two programs that this script needs and Debian has.
install_packages() {
  local missing=()
  command -v buildah >/dev/null || missing+=(buildah)
  command -v debootstrap >/dev/null || missing+=(debootstrap)
  ((${#missing[@]})) || return 0
  if ! command -v apt-get >/dev/null; then
    say "${missing[*]} missing, and no apt-get to install it with: set IMAGE_TOOL to docker or podman in \`make image\`"
    return 1
  fi
  say "installing ${missing[*]} from Debian"
  apt-get -qq update >&2
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends \
    "${missing[@]}" >&2
}

# quietly COMMAND... runs a command and shows what it said only if it fails.
quietly() {
  "$@" >"$cache/build.log" 2>&1 && return
  cat "$cache/build.log" >&2
  return 1
}

# build runs the Dockerfile. The machine's Go, its caches and its apt sources are mounted in, so that nothing is
# downloaded or compiled twice; /mnt and /etc/apt are there in every Debian, so the mounts leave no trace in the image.
build() {
  local volumes=(
    --volume "$mounts:/mnt:ro"
    --volume "$(go env GOROOT):/mnt/go:ro"
    --volume "$(go env GOMODCACHE):/mnt/modules"
    --volume "$(go env GOCACHE):/mnt/build"
    --volume "$apt:/etc/apt:ro"
  )
  quietly buildah build --pull=never --network=host --layers "${volumes[@]}" --build-arg VERSION="$version" \
    --build-arg TARGETARCH="$(go env GOARCH)" \
    --ignorefile "$root/.dockerignore" --file "$root/Dockerfile" --tag "$image" "$root"
}

if ((EUID != 0)); then
  echo "hack/image/build.sh: building without a container engine needs root (debootstrap, mounts): run it as root," \
    "or set IMAGE_TOOL to docker or podman in \`make image\`" >&2
  exit 1
fi

# Everything below runs in a mount namespace of its own: whatever buildah mounts is gone with its last process.
if [[ ${BACKUP_OPERATOR_IMAGE_NAMESPACE:-} != private ]]; then
  arguments=(--image "$image" --version "$version")
  BACKUP_OPERATOR_IMAGE_NAMESPACE=private exec unshare --mount --propagation private \
    "${BASH_SOURCE[0]}" "${arguments[@]}"
fi

mkdir -p "$cache"
exec 9>"$cache/.lock"
if ! flock --nonblock 9; then
  say "waiting for another build of the image to end"
  flock 9
fi

key=$(fingerprint)
archive=$cache/backup-operator-$key.tar
if [[ ! -e $archive ]]; then
  install_packages
  isolate
  prepare_bases
  say "building $image from the Dockerfile (minutes when Go has compiled none of it yet)"
  started=$SECONDS
  build
  quietly buildah push "$image" "oci-archive:$archive.partial:$image"
  mv "$archive.partial" "$archive"
  find "$cache" -maxdepth 1 -name 'backup-operator-*.tar' -printf '%T@ %p\n' | sort -rn | tail -n +4 | cut -d' ' -f2- |
    xargs -r -d '\n' rm -f # a few are kept: another version may be in use
  buildah rmi --prune >/dev/null 2>&1 || true
  say "built in $((SECONDS - started)) s, $(du -h "$archive" | cut -f1)"
fi
echo "$archive"
