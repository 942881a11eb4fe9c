#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: hack/promtool.sh
#
# Prints the path of promtool, Prometheus' tool that tests alerting rules: $PROMTOOL, or the one in
# the PATH, or the one of Debian's package "prometheus". The package is unpacked into a cache and
# not installed, because installing it starts a Prometheus. Progress goes to standard error.
set -euo pipefail

if [[ ${PROMTOOL:-} ]]; then
  echo "$PROMTOOL"
  exit
fi
if command -v promtool; then
  exit
fi
cache=${BACKUP_OPERATOR_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or BACKUP_OPERATOR_CACHE}/.cache}/backup-operator}
promtool=$cache/promtool/promtool
if [[ ! -x $promtool ]]; then
  if ! command -v apt-get >/dev/null; then
    echo "hack/promtool.sh: there is no promtool, and no apt to get it with: install Prometheus, or set PROMTOOL to its path" >&2
    exit 1
  fi
  echo "unpacking promtool once, into ${promtool%/*}" >&2
  mkdir -p "${promtool%/*}"
  # Unpacked elsewhere and renamed, so that a killed script leaves nothing that looks finished.
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (
    cd "$work"
    download=(apt-get download -o APT::Sandbox::User=root prometheus)
    if ! "${download[@]}"; then
      # The lists of packages may be missing or old; who is not root can't renew them.
      apt-get update && "${download[@]}"
    fi
    dpkg-deb --extract prometheus_*.deb unpacked
  ) </dev/null >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    echo "hack/promtool.sh: Debian's package prometheus could not be fetched: install it, or set PROMTOOL to promtool's path" >&2
    exit 1
  }
  cp "$work/unpacked/usr/bin/promtool" "$promtool.$$"
  mv "$promtool.$$" "$promtool"
fi
echo "$promtool"
