#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: hack/fresh.sh [COMMAND...]
#
# Runs each COMMAND (make demo, make test, make build) as the first one on a fresh machine, and prints how long it took:
# a new Debian with Git, make, CA certificates and this machine's Go, a clone of HEAD, and no caches of modules, builds
# or packages. A COMMAND may be several, as in 'make demo && make test'. The exit status is that of the first command
# that failed.
#
# Each machine is a directory with namespaces of its own for mounts and processes, and is removed afterwards. The network
# and the kernel are this machine's, so no other `make demo` or `make e2e` may run meanwhile. Needs root.
#
#   FRESH_DIRECTORY   where the directories are made, with 30 GiB of room   (/var/tmp)
#   FRESH_KEEP=1      keep the directory of a command that failed
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { echo "fresh: $*" >&2; }

# make_machine DIRECTORY makes a Debian of this machine's release in DIRECTORY.
make_machine() {
  local release mirror
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirror=$(mirror Debian http://deb.debian.org/debian/)
  say "making a Debian $release in $1"
  debootstrap --variant=minbase --include=ca-certificates,git,make "$release" "$1" "$mirror" >"$1.log" 2>&1 || {
    tail -n 5 "$1.log" >&2
    return 1
  }
  rm "$1.log"
  cp -a "$(go env GOROOT)" "$1/usr/local/go"
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d" # services don't start: this machine's may use their ports
  chmod 755 "$1/usr/sbin/policy-rc.d"
  cp /etc/resolv.conf /etc/hosts "$1/etc/"
  cp -a "$apt/sources.list" "$apt/apt.conf.d" "$apt/auth.conf.d" "$1/etc/apt/"
  rm "$1/etc/apt/apt.conf.d/81certificates" # speaks of a mount that only the build of the image has
  install -m 644 "$(trusted_certificates)" "$1/etc/ssl/certs/ca-certificates.crt"
  git clone --quiet --no-hardlinks "$root" "$1/srv/backup-operator"
}

# run_in DIRECTORY COMMAND runs a command in the clone, with nothing of this machine's environment but the way out.
run_in() {
  local variable environment=(HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}"
    PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
  for variable in GOPROXY GONOPROXY GOSUMDB GONOSUMDB GOPRIVATE GOINSECURE; do
    environment+=("$variable=$(go env "$variable")")
  done
  for variable in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [[ -z ${!variable:-} ]] || environment+=("$variable=${!variable}")
  done
  # pivot_root and not chroot, because containers are started in it, which have to pivot as well.
  # shellcheck disable=SC2016
  env -i "${environment[@]}" unshare --mount --propagation private --pid --fork --kill-child /bin/bash -euc '
    mount --bind "$1" "$1"
    cd "$1"
    mount --rbind /sys sys
    mount --rbind /dev dev
    mkdir -p .before
    pivot_root . .before
    cd /srv/backup-operator
    mount -t proc proc /proc
    umount --lazy /.before
    rmdir /.before
    exec bash -c "$2" </dev/null
  ' fresh "$1" "$2"
}

if ((EUID != 0)); then
  echo "hack/fresh.sh: making a fresh machine needs root: run it with sudo" >&2
  exit 1
fi
"$root/hack/install-packages.sh" "$root/hack/fresh-packages.txt"
base=$(mktemp -d "${FRESH_DIRECTORY:-/var/tmp}/backup-operator-fresh.XXXXXX")
# The settings of apt are made as for the image.
cache=$base
. "$root/hack/image/base.sh"
prepare_apt

(($#)) || set -- "make demo" "make test" "make build"
summary=()
result=0
for command; do
  machine=$base/$((${#summary[@]} + 1))
  mkdir "$machine"
  make_machine "$machine"
  say "$command"
  started=$SECONDS
  run_in "$machine" "$command" || result=$?
  summary+=("$(printf '%-32s %-6s %5d s' "$command" "$( ((result)) && echo FAILED || echo ok)" $((SECONDS - started)))")
  if ((result)) && [[ ${FRESH_KEEP:-} ]]; then
    say "kept: $machine"
    break
  fi
  rm -rf --one-file-system "$machine"
  ((result == 0)) || break
done
[[ ${FRESH_KEEP:-} ]] || rm -rf --one-file-system "$base"
printf '%s\n' "${summary[@]}"
exit "$result"
