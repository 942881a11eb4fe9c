#!/bin/sh
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# A stand-in for an appliance: some hundred MB in four volumes, and it never stops writing. It starts anew on empty
# volumes and goes on with what it finds in others.
set -eu
umask 077
trap 'exit 0' TERM

if [ ! -e /config/appliance.conf ]; then
  # Tables of a database, 150 MB, which compress well.
  mkdir -p /data/cache /config/certificates /sessions/recorded /sessions/recording
  for table in accounts credentials audit; do
    seq -f "$table|%012.0f|managed|rotated daily|owner=operations" 1 850000 >"/data/$table.db"
  done
  # Recordings of user sessions, 240 MB, which don't, because video is compressed already.
  for session in 01 02 03 04 05 06 07 08 09 10 11 12; do
    head -c 20000000 /dev/urandom >"/sessions/recorded/session-$session.rec"
  done
  head -c 5000000 /dev/urandom >/data/cache/thumbnails
  head -c 3000 /dev/urandom | base64 >/config/certificates/appliance.pem
  ln -s appliance.pem /config/certificates/current.pem
  printf 'name = orbit\nlisten = 0.0.0.0:443\nidle_timeout = 15m\n' >/config/appliance.conf
fi
touch /tmp/ready

# Ten times a second: a line of the log, a page in the midst of a table, some more of a recording, a temporary file.
n=0
while true; do
  n=$((n + 1))
  echo "$(date -u +%FT%TZ) request $n: session opened, credential checked out, session recorded" >>/logs/appliance.log
  head -c 4096 /dev/urandom | dd of=/data/accounts.db bs=4096 seek=$((n * 7 % 10000)) conv=notrunc status=none
  head -c 65536 /dev/urandom >>/sessions/recording/session-13.rec
  echo "$n" >/data/upload.tmp
  sleep 0.1
done
