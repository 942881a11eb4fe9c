# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# How the demonstration speaks, waits and fails. Sourced by hack/demo.sh.
# shellcheck shell=bash disable=SC2154

bold='' dim='' green='' red='' plain=''
if [[ -t 1 && ${TERM:-dumb} != dumb && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

step='' command='' steps=0

# heading begins a step.
heading() {
  step=$1 steps=$((steps + 1))
  printf '\n%s━━ %d. %s%s\n' "$bold" "$steps" "$step" "$plain"
}

# say explains in a line what follows or what was seen.
say() { printf '%s# %s%s\n' "$dim" "$*" "$plain"; }

# run shows a command as a person would type it, and runs it.
run() {
  command=$1
  printf '%s$ %s%s\n' "$green" "$command" "$plain"
  # Without pipefail: `| head` ends whatever is before it.
  (set +o pipefail && eval "$command")
}

# patiently runs a command that may take minutes, telling every half minute that it still does. Its output is the
# command's.
patiently() {
  command="$*"
  local started=$SECONDS ticker status=0
  (trap 'kill $!; exit' TERM; while true; do sleep 30 & wait $!; echo "  … $((SECONDS - started)) s" >&2; done) &
  ticker=$!
  "$@" || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  return "$status"
}

# await polls until a command prints something that a pattern matches, and prints it.
await() { # SECONDS PATTERN COMMAND...
  local deadline=$((SECONDS + $1)) pattern=$2 got
  shift 2
  command="$*"
  until got=$("$@" 2>/dev/null) && [[ $got =~ $pattern ]]; do
    if ((SECONDS > deadline)); then
      echo "waited in vain for \"$pattern\", and this was last: $got" >&2
      return 1
    fi
    sleep 0.3
  done
  echo "$got"
}

# explain says what failed, with what the cluster knows of it.
explain() {
  printf '\n%sThe demonstration failed at step %d, %s%s\n' "$red" "$steps" "$step" "$plain"
  printf 'The command was: %s\n' "$command"
  [[ -n ${KUBECONFIG:-} && -e $KUBECONFIG ]] && command -v kubectl >/dev/null || return 0
  local namespace pod
  for namespace in "$operator_namespace" orbit; do
    kubectl get namespace "$namespace" >/dev/null 2>&1 || continue
    printf '\nPods and latest events in %s:\n' "$namespace"
    kubectl --namespace "$namespace" get pods --output wide || true
    kubectl --namespace "$namespace" get events --sort-by=.lastTimestamp | tail -n 8 || true
    for pod in $(kubectl --namespace "$namespace" get pods --output name); do
      printf '\nThe last words of %s:\n' "$pod"
      kubectl --namespace "$namespace" logs --tail=8 --all-containers "$pod" || true
    done
  done
  kubectl --namespace orbit get backuppolicies --output yaml 2>/dev/null | sed -n '/^  status:/,$p' || true
}
