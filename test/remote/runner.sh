#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# runner.sh [--name NAME]: tests the runner without Kubernetes on the kernel's own
# NFS and CIFS mounts, in the virtual machine: locks, renames, flushes, rsync to
# the mirror and pruning, with the backup directory on the mount too.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
name=dev
[[ ${1:-} == --name ]] && { name=$2; shift 2; }
use_cluster "$name"
settings=$("$remote_dir/up.sh" --name "$name")
declare -A value
while IFS='=' read -r key rest; do value[$key]=$rest; done <<<"$settings"
node() { "$remote_dir/exec.sh" --name "$name" "$@"; }
need zstd=zstd tar=tar
work=$(mktemp -d)
trap 'node "umount /mnt/nfs /mnt/cifs; rmdir /mnt/nfs /mnt/cifs; rm -rf /srv/runner" 2>/dev/null || true; rm -rf "$work"' EXIT

(cd "$remote_dir/../.." && CGO_ENABLED=0 go build -buildvcs=false -ldflags '-s -w' -o "$work/backup-operator" .)
node 'mkdir -p /srv/runner/data /mnt/nfs /mnt/cifs && cat >/srv/runner/backup-operator && chmod +x /srv/runner/backup-operator' <"$work/backup-operator"
node 'cd /srv/runner/data && head -c 3000000 /dev/urandom >random && mkdir -p a/b && ln random a/b/hard && ln -s ../random a/soft'
node "mount -t nfs ${value[NFS_SERVER]}:${value[NFS_PATH]} /mnt/nfs"
node "PASSWD=$(printf %q "${value[CIFS_PASSWORD]}") mount -t cifs -o username=${value[CIFS_USERNAME]},dir_mode=0700,file_mode=0600,noperm \
  //${value[CIFS_SERVER]}/${value[CIFS_SHARE]} /mnt/cifs"

# run MOUNT [FLAG...]: one run with its backup directory and its mirror on a mount; prints its exit status.
run() {
  local mount=/mnt/$1
  shift
  node "/srv/runner/backup-operator backup --policy test/remote --source data=/srv/runner/data --directory $mount/runner/daily \
    --prefix appliance --keep 2 --rsync-directory $mount/runner/mirror $* >>/srv/runner/log 2>&1; echo \$?" || true
}

expect() { # DESCRIPTION WANTED GOT
  [[ $3 == "$2" ]] || { node "tail -n 20 /srv/runner/log" >&2; fail "FAIL: $1: got '$3', want '$2'"; }
  echo "ok: $1: $2"
}

for kind in nfs cifs; do
  directory=${value[${kind^^}_DIRECTORY]}/runner
  node "rm -rf /mnt/$kind/runner /srv/runner/log"
  for number in 1 2 3; do
    expect "$kind: exit status of run $number" 0 "$(run "$kind")"
  done
  for place in daily mirror; do
    expect "$kind: archives kept in $place" 2 "$(find "$directory/$place" -name 'appliance-*.tar.zst' | wc -l)"
    expect "$kind: half-done files in $place" 0 "$(find "$directory/$place" -name '*.partial' -type f | wc -l)"
    for archive in "$directory/$place"/appliance-*.tar.zst; do
      mkdir "$work/restored"
      (cd "$work/restored" && tar --zstd -xf "$archive" && sha256sum --quiet -c "$archive.sha256") || fail "FAIL: $kind: $archive"
      rm -rf "$work/restored"
    done
  done
  expect "$kind: runs that reused the archive before" 2 "$(node "grep -c 'msg=archived .* reused=[1-9]' /srv/runner/log")"
  echo "$kind: reused by $(node "grep -o 'method=[a-zA-Z]*' /srv/runner/log" | sort | uniq -c | xargs)"
  newest=$(find "$directory/mirror" -name 'appliance-*.tar.zst' | sort | tail -n 1)
  expect "$kind: restored with tar" "$(node 'sha256sum </srv/runner/data/random')" "$(tar --zstd -xf "$newest" -C "$work" && sha256sum <"$work/data/random")"
  expect "$kind: exit status while another run holds the lock" 1 \
    "$(node "flock /mnt/$kind/runner/daily/.appliance.lock sh -c '/srv/runner/backup-operator backup --policy test/remote \
      --source data=/srv/runner/data --directory /mnt/$kind/runner/daily --prefix appliance --keep 2 --lock-timeout 1s >>/srv/runner/log 2>&1; echo \$?'")"
  node "rm -rf /mnt/$kind/runner"
  rm -rf "$work/data"
done
echo "The runner works on the kernel's NFS and CIFS mounts."
