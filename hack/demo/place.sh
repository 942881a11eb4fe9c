# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Where the demonstration takes place: on a cluster of its own on this machine, or on the one that KUBECONFIG names.
# Sourced by hack/demo.sh, which then runs in a directory where volumes/ is the volumes. On somebody's own cluster they
# are in a pod, and $at is what a command needs before it to run there.
# shellcheck shell=bash disable=SC2034,SC2154

at='' again=restored-again image='' work='' scratch='' made=''

# own_cluster says whether to use a cluster of our own, also when KUBECONFIG is what an earlier demonstration said.
own_cluster() { [[ -z ${KUBECONFIG:-} || $KUBECONFIG == "$cluster_directory/kubeconfig" ]]; }

refuse() {
  echo "hack/demo.sh: $*" >&2
  exit 2
}

# prepare makes sure of a cluster, helm and the image.
prepare() {
  if own_cluster; then prepare_own; else prepare_theirs; fi
  kubectl config set-context --current --namespace=orbit >/dev/null
}

prepare_own() {
  ((EUID == 0)) || refuse "a cluster with a real kubelet needs root: run it with sudo, or set KUBECONFIG to use a cluster of yours"
  unset KUBECONFIG
  image=localhost/appliance-backup-operator:dev
  heading "Build what is shown"
  say "Only the first time is long: Kubernetes and etcd are built from Go modules, which takes 10 minutes or more on two"
  say "cores, helm a minute, and the base of the image another. All of it is cached."
  patiently hack/install-packages.sh hack/demo/packages.txt
  say "Kubernetes and etcd"
  patiently hack/cluster/build.sh --own >/dev/null
  say "helm"
  patiently hack/tools/build.sh helm >/dev/null
  say "backup-operator, for this machine"
  patiently make build
  say "The image, from the Dockerfile"
  patiently hack/image/build.sh --image "$image" >/dev/null

  heading "Start a cluster"
  say "A real one, of one node, in namespaces of this machine: etcd, the control plane, kubelet, containerd."
  if [[ -e $cluster_directory ]]; then
    say "The one that an earlier demonstration left goes first."
    hack/cluster/down.sh --name "$cluster"
  fi
  made=yes
  run "hack/cluster/up.sh --name $cluster"
  KUBECONFIG=$cluster_directory/kubeconfig
  tools=$root/bin:$(hack/cluster/build.sh --own):$(dirname "$(hack/tools/build.sh helm)")
  PATH=$tools:$PATH
  export KUBECONFIG PATH
  run "hack/cluster/load.sh --name $cluster $(hack/image/build.sh --image "$image")"
  run "kubectl get nodes"
  work=$cluster_directory/stage
}

# open_stage enters the working directory and, on our own cluster, makes the volumes there that the claims need:
# directories that belong to the appliance's user.
open_stage() {
  mkdir -p "$work"
  run "cd $work"
  cd "$work" || return
  own_cluster || return 0
  local name
  mkdir volumes
  for name in data logs config sessions; do install --directory --owner=65532 --group=65532 "volumes/$name"; done
  mkdir volumes/backups volumes/remote
  render <"$root/hack/demo/volumes.yaml" | kubectl apply --filename - >/dev/null
}

prepare_theirs() {
  command -v kubectl >/dev/null || refuse "KUBECONFIG is set, but there is no kubectl: install it"
  image=${DEMO_IMAGE:-}
  [[ $image == *:* ]] || refuse "KUBECONFIG is set, and its cluster has to pull the image from somewhere: make it with" \
    "\`make image IMAGE=registry.example.com/backup-operator:dev\`, push it, and set DEMO_IMAGE to that name; or unset KUBECONFIG"
  # A copy, so that the namespace can be set in it.
  scratch=$(mktemp --directory --tmpdir backup-operator-demo.XXXXXX) work=$scratch
  kubectl config view --raw --flatten --minify >"$work/kubeconfig"
  export KUBECONFIG=$work/kubeconfig
  heading "Use the cluster of KUBECONFIG"
  run "kubectl get nodes"
  local there
  there=$(kubectl get --ignore-not-found --output=name namespace/orbit "namespace/$operator_namespace" \
    customresourcedefinition/backuppolicies.backup.appliance.io)
  [[ -z $there ]] || refuse "this cluster has these already: $(xargs <<<"$there"); if they are an earlier demonstration's," \
    "remove them with: make demo-down"
  [[ -v DEMO_STORAGE_CLASS ]] || kubectl get storageclass --output=yaml | grep -q 'is-default-class: "true"' ||
    refuse "this cluster has no default StorageClass: set DEMO_STORAGE_CLASS to one, or to \"\" for volumes that you have made"
  hack/install-packages.sh hack/demo/packages.txt
  say "helm (built from Go modules, minutes the first time)"
  patiently hack/tools/build.sh helm >/dev/null
  PATH=$(dirname "$(hack/tools/build.sh helm)"):$PATH
  made=yes
}

# render fills in what a manifest, its input, leaves open.
render() {
  local class='/storageClassName: DEMO_STORAGE_CLASS/d'
  if own_cluster; then
    class='s|DEMO_STORAGE_CLASS|""|'
  elif [[ -v DEMO_STORAGE_CLASS ]]; then
    class="s|DEMO_STORAGE_CLASS|\"$DEMO_STORAGE_CLASS\"|"
  fi
  sed -e "$class" -e "s|DEMO_IMAGE|$image|" -e "s|DEMO_DIRECTORY|$work|"
}

# open_volumes makes the volumes visible, once the appliance has them.
open_volumes() {
  own_cluster && return
  say "A pod to look into the volumes."
  render <"$root/hack/demo/files.yaml" >files.yaml
  run "kubectl apply --filename files.yaml"
  run "kubectl wait --for=condition=Ready pod/files --timeout=3m"
  at='kubectl exec files -- ' again=/tmp/restored-again
}

# change_something changes what the appliance itself never changes again.
change_something() {
  run "kubectl exec deployment/appliance -- sh -c 'mv /sessions/recording/session-13.rec /sessions/recorded/ && echo idle_timeout = 5m >/config/local.conf'"
}

# fetch_originals brings what a restore is compared with to this machine, where it isn't yet.
fetch_originals() {
  own_cluster && return
  say "The originals, for comparison"
  run "kubectl exec files -- tar -cf - volumes/config volumes/sessions/recorded | tar -xf -"
  mkdir -p volumes/logs
  run "kubectl exec files -- cat volumes/logs/appliance.log >volumes/logs/appliance.log"
}

# tar_command is a tar command on an archive, which may be away.
tar_command() { # -tvf|-xf ARCHIVE OPTION...
  local letters=$1 archive=$2
  shift 2
  if [[ $at ]]; then
    echo "${at}cat $archive | tar --zstd $letters -${*:+ $*}"
  else
    echo "tar --zstd $letters $archive${*:+ $*}"
  fi
}

# take_down removes all that a demonstration made.
take_down() {
  if own_cluster; then
    hack/cluster/down.sh --name "$cluster"
    echo "Nothing of the demonstration is left on this machine but what was built, in the cache."
    return
  fi
  local label='jsonpath={.metadata.labels.app\.kubernetes\.io/part-of}'
  if [[ -z $made && $(kubectl get namespace orbit --output="$label" 2>/dev/null) != backup-operator-demo ]]; then
    echo "There is no demonstration on this cluster."
    return
  fi
  kubectl delete namespace orbit --ignore-not-found
  "$(hack/tools/build.sh helm)" uninstall backup-operator --namespace "$operator_namespace" --ignore-not-found
  kubectl delete namespace "$operator_namespace" --ignore-not-found
  kubectl delete customresourcedefinition backuppolicies.backup.appliance.io --ignore-not-found
}
