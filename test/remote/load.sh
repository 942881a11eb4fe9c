#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# load.sh [--name NAME] FILE...: imports image archives (OCI or docker save) into
# the node in the virtual machine.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
name=dev
[[ ${1:-} == --name ]] && { name=$2; shift 2; }
for file; do
  say "importing $file"
  "$remote_dir/exec.sh" --name "$name" ctr --namespace k8s.io images import - <"$file" >&2
done
