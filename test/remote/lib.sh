# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# What the scripts of this directory share; to be sourced.
# shellcheck shell=bash
set -euo pipefail

remote_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${BACKUP_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/backup-operator}/remote
# One directory for each cluster, and nothing is written outside it but the cache.
state_root=/var/lib/backup-operator-remote

node_name=remote
# The cluster numbers its own machines from the network's second address on.
node_host=250
nas_host=251
pod_cidr=10.244.250.0/24

say() { echo "remote: $*" >&2; }
fail() { say "$*"; exit 1; }

need_root() { ((EUID == 0)) || fail "root is needed: interfaces and mounts are made. Use sudo --preserve-env=PATH,HOME,KUBECONFIG"; }

# need PROGRAM=PACKAGE...: installs the Debian packages of programs that the machine lacks.
need() {
  local pair missing=()
  for pair; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  ((${#missing[@]})) || return 0
  say "installing Debian packages: ${missing[*]}"
  local install=(apt-get -q=2 -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "${missing[@]}")
  DEBIAN_FRONTEND=noninteractive "${install[@]}" >&2 && return
  apt-get -q=2 update >&2
  DEBIAN_FRONTEND=noninteractive "${install[@]}" >&2
}

# use_cluster NAME: where the remote machines of a cluster keep what is theirs.
use_cluster() {
  [[ $1 =~ ^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$ ]] || fail "cluster name '$1': use at most 30 small letters, digits and dashes"
  cluster=$1
  state=$state_root/$cluster
  # Interface names hold 15 characters, clusters' names more.
  interface=br$(printf %s "$cluster" | sha256sum | cut -c1-8)
}

# wait_for SECONDS WHAT COMMAND...: runs COMMAND again and again until it succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || { say "gave up waiting for $what"; return 1; }
    sleep 0.3
  done
}

# ours PIDFILE: whether the process that the file names runs and is the one that
# was written down: ids are used again, start times are not.
ours() {
  local pid started
  [[ -s $1 ]] && read -r pid started <"$1" && [[ $started == "$(start_time "$pid")" ]]
}

start_time() {
  local stat
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
  # Fields are counted from behind the program's name, which may hold spaces.
  set -- ${stat##*) }
  echo "${20}"
}

remember() { echo "$2 $(start_time "$2")" >"$1"; }

# stop PIDFILE: kills that process and waits for its end.
stop() {
  local pid
  if ours "$1"; then
    read -r pid _ <"$1"
    kill -KILL "$pid" 2>/dev/null || true
    wait_for 30 "the end of process $pid" gone "$1"
  fi
  rm -f "$1"
}

gone() { ! ours "$1"; }
