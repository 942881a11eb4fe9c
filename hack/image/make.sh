#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: [IMAGE=NAME] [VERSION=VERSION] [IMAGE_TOOL=docker|podman|offline] hack/image/make.sh
#
# Builds the image from the Dockerfile. With Docker or Podman, where their engine runs, it lands among the engine's
# images, ready to be pushed; else hack/image/build.sh makes it an archive without an engine or a registry.
set -euo pipefail

image=${IMAGE:-localhost/appliance-backup-operator:dev}
version=${VERSION:-dev}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# detect prints the first tool that can build here.
detect() {
  local tool
  for tool in docker podman; do
    if command -v "$tool" >/dev/null && "$tool" info >/dev/null 2>&1; then
      echo "$tool"
      return
    fi
  done
  echo offline
}

tool=${IMAGE_TOOL:-$(detect)}
case $tool in
docker | podman)
  echo "Building $image $version with $tool" >&2
  DOCKER_BUILDKIT=1 "$tool" build --build-arg VERSION="$version" --tag "$image" .
  ;;
offline)
  echo "Building $image $version without a container engine or a registry" >&2
  hack/image/build.sh --image "$image" --version "$version"
  ;;
*)
  echo "hack/image/make.sh: IMAGE_TOOL is \"$tool\": use docker, podman or offline" >&2
  exit 2
  ;;
esac
