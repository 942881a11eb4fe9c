#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: hack/install-packages.sh FILE...
#
# Installs the Debian packages that the files list, one a line ('#' begins a comment), where they
# are missing. Says what it installs. Who is not root is told the command to run instead, and a
# machine without apt which packages the files name.
set -euo pipefail

mapfile -t wanted < <(sed 's/#.*//' -- "$@" | tr -s '[:space:]' '\n' | sed '/^$/d' | sort -u)

if ! command -v dpkg-query >/dev/null; then
  echo "This machine has no Debian packages. Provided you have installed what these are, going on: ${wanted[*]}" >&2
  exit 0
fi

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  exit 0
fi

install=(apt-get install -y --no-install-recommends "${missing[@]}")
if ((EUID != 0)); then
  echo "Packages are missing. Install them with: sudo ${install[*]}" >&2
  exit 1
fi

echo "Installing Debian packages: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
# apt's own words are shown only when something went wrong.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get update && "${install[@]}"; } </dev/null >"$log" 2>&1; then
  cat "$log" >&2
  echo "Installing packages failed: ${install[*]}" >&2
  exit 1
fi
