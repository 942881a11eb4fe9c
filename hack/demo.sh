#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: hack/demo.sh [up|down]
#
# Shows the product at work: an appliance that goes on writing, its backups, a restore with tar, the mirror, a second
# backup at the cost of what changed, a restore with the program, and the oldest backup being removed. `up`, the
# default, leaves the cluster for you to look around; `down` removes all of it.
#
# Without KUBECONFIG it makes a cluster on this machine: needs root, Go, Git and make. With KUBECONFIG it uses that
# cluster, in the namespaces orbit and backup-operator-system, and needs kubectl and an image that the cluster can pull:
#
#   DEMO_IMAGE           the image, as REPOSITORY:TAG (`make image` builds it)
#   DEMO_STORAGE_CLASS   the class of its volumes     (the cluster's default; "" for volumes that you have made)
#
# After a failure, what was made is removed again; with DEMO_KEEP=1 it stays.
# shellcheck source-path=SCRIPTDIR/..
# What the sourced files set is used here, and the other way round.
# shellcheck disable=SC2034,SC2154
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cluster=demo
cluster_directory=/var/lib/backup-operator/$cluster
operator_namespace=backup-operator-system
cd "$root"
# shellcheck source=hack/demo/stage.sh
. hack/demo/stage.sh
# shellcheck source=hack/demo/place.sh
. hack/demo/place.sh

install_operator() {
  heading "Install the operator with Helm"
  run "helm install backup-operator charts/backup-operator --namespace $operator_namespace --create-namespace \\
    --set image.repository=${image%:*} --set image.tag=${image##*:} --wait --timeout 3m --hide-notes"
  run "kubectl --namespace $operator_namespace get pods"
}

start_appliance() {
  heading "An appliance that never stops writing"
  say "Data, logs, configuration and session files, in four volumes."
  open_stage
  kubectl kustomize "$root/hack/demo/appliance" | render >appliance.yaml
  run "kubectl apply --filename appliance.yaml"
  run "kubectl rollout status deployment/appliance --timeout=5m"
  open_volumes
  run "${at}du -sh volumes/data volumes/logs volumes/config volumes/sessions"
}

apply_policy() {
  heading "Its backup settings"
  say "This is config/samples/backuppolicy.yaml, but the remote partition is a claim, because this machine's kernel may"
  say "lack an NFS client, and 2 backups are kept in place of 7, so that three runs show the oldest being removed."
  kubectl kustomize "$root/hack/demo/policy" >policy.yaml
  run "cat policy.yaml"
  run "kubectl apply --filename policy.yaml"
  run "kubectl wait --for=condition=Ready backuppolicy/appliance --timeout=1m"
}

# backup asks for a run by the policy's field runNow, and waits until the policy's status knows how it ended.
backup() { # TOKEN [quietly]
  run "kubectl patch backuppolicy appliance --type=merge --patch='{\"spec\":{\"runNow\":\"$1\"}}'"
  await 60 "^$1\$" kubectl get bp appliance --output='jsonpath={.status.lastRunNow}' >/dev/null
  job=$(kubectl get jobs --output="jsonpath={.items[?(@.metadata.annotations.backup\.appliance\.io/run-now==\"$1\")].metadata.name}")
  if [[ ${2:-} != quietly ]]; then
    await 120 'Running|Succeeded|Failed' kubectl get pods --selector="job-name=$job" --output='jsonpath={.items[*].status.phase}' >/dev/null
    run "kubectl logs --follow job/$job"
  fi
  await 600 'Complete|Failed' kubectl get job "$job" --output='jsonpath={.status.conditions[?(@.status=="True")].type}' >/dev/null
  await 30 "^$job\$" kubectl get bp appliance --output='jsonpath={.status.lastRun.job}' >/dev/null
  command="the backup $job"
  [[ $(kubectl get bp appliance --output='jsonpath={.status.lastRun.outcome}') == Succeeded ]]
}

show_run() {
  heading "A backup, now"
  say "It runs by itself at 05:00 and some minutes. Now it doesn't wait for that."
  backup first
  heading "Am I protected?"
  run "kubectl get bp"
  run "kubectl describe bp appliance | sed -n '/^  Last Run:/,\$p'"
}

show_archives() {
  heading "The archives"
  latest=volumes/backups/daily/$(kubectl get bp appliance --output='jsonpath={.status.lastRun.archive}')
  run "${at}ls -l volumes/backups/daily"
  run "${at}backup-operator list --directory volumes/backups/daily"
  run "$(tar_command -tvf "$latest") | head -n 12"
}

restore() {
  heading "A restore, with nothing but tar"
  run "mkdir restored"
  run "$(tar_command -xf "$latest" --directory restored)"
  say "Beside the archive are the checksums of the files in it."
  run "${at}cat $latest.sha256 | (cd restored && sha256sum --quiet --check -) && echo all as archived"
  fetch_originals
  say "What doesn't change is the same, byte by byte. Of the log, the backup holds what it was then."
  run "diff --recursive --no-dereference volumes/config restored/config && echo same"
  run "diff --recursive volumes/sessions/recorded restored/sessions/recorded && echo same"
  run "cmp --bytes=\$(stat --format=%s restored/logs/appliance.log) volumes/logs/appliance.log restored/logs/appliance.log && echo same"
  run "wc --lines restored/logs/appliance.log volumes/logs/appliance.log | head -n 2"
}

show_mirror() {
  heading "The mirror, on the remote partition"
  run "${at}ls -l volumes/remote/mirror"
  run "${at}backup-operator verify --directory volumes/remote/mirror --backup all"
}

show_reuse() {
  heading "A second backup: complete, at the cost of what changed"
  say "In the meantime a recording was finished, and a file was added to the configuration."
  change_something
  backup second
  run "kubectl get bp appliance --output=jsonpath='{.status.lastRun.message}{\"\\n\"}'"
  run "kubectl describe bp appliance | sed -n '/^  Last Run:/,/^  Last Success/p' | grep -E 'Bytes|Duration|Reuse'"
  say "Where the backup directory is on XFS or Btrfs, what is reused is shared: it takes no space. Elsewhere it is copied."
}

restore_by_command() {
  heading "A restore with the program: only what is asked for, each file checked as it is written"
  run "${at}backup-operator restore --directory volumes/backups/daily --target $again --include sessions --include config"
  run "${at}diff --recursive volumes/sessions/recorded $again/sessions/recorded && echo same"
  run "${at}diff --recursive --no-dereference volumes/config $again/config && echo same"
}

show_pruning() {
  heading "One more backup, with a total of 2 to keep"
  backup third quietly
  run "kubectl logs job/$job | grep removed"
  run "${at}ls volumes/backups/daily volumes/remote/mirror"
  run "kubectl get bp"
}

look_further() {
  heading "Look further"
  if own_cluster; then
    cat <<END
The cluster stays up, and the appliance goes on writing. In this checkout:

  export KUBECONFIG=$KUBECONFIG
  export PATH=$tools:\$PATH
  cd $work
  kubectl explain backuppolicy.spec
  kubectl edit backuppolicy appliance

To take it down: make demo-down
END
  else
    cat <<END
The appliance goes on writing, in the namespace orbit of your cluster:

  kubectl --namespace orbit get backuppolicies
  kubectl explain backuppolicy.spec

To remove all that was made, with the same KUBECONFIG: make demo-down
END
  fi
}

# finish cleans up, whatever the end was.
finish() {
  local status=$?
  trap - EXIT INT TERM HUP
  set +e
  cd "$root" || exit
  if ((status)) && [[ $made ]]; then
    ((status >= 128)) || explain >&2
    if [[ ${DEMO_KEEP:-} ]]; then
      echo "DEMO_KEEP is set: what was made stays. To remove it: make demo-down" >&2
    else
      echo "Removing what was made. To keep it next time: DEMO_KEEP=1 make demo" >&2
      take_down >&2
    fi
  fi
  [[ -z $scratch ]] || rm -rf "$scratch"
  exit "$status"
}

case ${1:-up} in
up) ;;
down)
  take_down
  exit
  ;;
*) refuse "unknown argument \"$1\": use up or down" ;;
esac

trap finish EXIT
trap 'exit 130' INT TERM HUP
prepare
install_operator
start_appliance
apply_policy
show_run
show_archives
restore
show_mirror
show_reuse
restore_by_command
show_pruning
look_further
