#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: hack/verify.sh [CHECK...]
#
# Checks what a reviewer should not have to, and says which command mends what it finds:
#   generated  what is generated is what the sources generate
#   modules    go.mod and go.sum of every module are tidy
#   format     all Go code is formatted, all scripts parse
#   manifests  the chart and kustomize render, and Kubernetes' schemas accept the result
#   walls      the linter does refuse each import that the walls forbid
#
# Never changes the tree: what has to be generated or broken is generated or broken in a copy.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CGO_ENABLED=0 GOWORK=off

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# copy DIRECTORY copies what Git knows or would add, as it is in the tree now.
copy() {
  mkdir -p "$1"
  git ls-files --cached --others --exclude-standard --deduplicate -z |
    while IFS= read -r -d '' file; do
      # A file that was removed but not yet committed is still listed.
      if [[ -e $file || -L $file ]]; then printf '%s\0' "$file"; fi
    done | tar --create --null --files-from=- | tar --extract --directory "$1"
}

# tools NAME... builds tools where that is still to do and prints the directory that holds them.
tools() {
  dirname "$(hack/tools/build.sh "$@" | tail -n 1)"
}

verify_generated() {
  copy "$scratch/before"
  copy "$scratch/after"
  TOOLS=$(tools controller-gen crd-ref-docs) || return 1
  export TOOLS
  "$scratch/after/hack/generate.sh" code || return 1
  "$scratch/after/hack/generate.sh" manifests || return 1
  unset TOOLS
  if ! (cd "$scratch" && diff --recursive --unified --new-file before after); then
    echo "What is generated is not current, as shown above ('-' is what the tree has)." >&2
    echo "Mend it with: make generate manifests" >&2
    return 1
  fi
}

verify_modules() {
  local module failed=0
  while IFS= read -r module; do
    if ! go -C "$(dirname "$module")" mod tidy -diff; then
      echo "$module or its go.sum is not tidy. Mend it with: go -C $(dirname "$module") mod tidy" >&2
      failed=1
    fi
  done < <(git ls-files --cached --others --exclude-standard -- 'go.mod' '*/go.mod')
  return $failed
}

verify_format() {
  local unformatted script failed=0
  unformatted=$(git ls-files --cached --others --exclude-standard --deduplicate -- '*.go' | xargs --no-run-if-empty gofmt -l -s)
  if [[ -n $unformatted ]]; then
    printf 'Not formatted:\n%s\nMend it with: make fmt, or gofmt -s -w FILE outside the main module\n' "$unformatted" >&2
    failed=1
  fi
  while IFS= read -r script; do
    bash -n "$script" || failed=1
  done < <(git ls-files --cached --others --exclude-standard --deduplicate -- '*.sh' .ci/run)
  return $failed
}

# kubernetes_schemas DIRECTORY writes the schemas that kubeconform needs, in the version of the test cluster.
kubernetes_schemas() {
  local kubernetes
  mkdir -p "$1"
  go -C hack/cluster/kubernetes mod download k8s.io/kubernetes || return 1
  kubernetes=$(go -C hack/cluster/kubernetes list -m -f '{{.Dir}}' k8s.io/kubernetes) || return 1
  go -C hack/tools run ./schemas "$kubernetes/api/openapi-spec/swagger.json" "$1" "$PWD"/config/crd/bases/*.yaml
}

# Whatever a chart or an overlay renders must be accepted by these schemas. The Prometheus operator's kinds are not
# Kubernetes' own, and no schema of theirs is at hand: the rules in them are tested where they are written.
conform() {
  "$1/kubeconform" -strict -summary -skip PodMonitor,PrometheusRule,ServiceMonitor \
    -schema-location "$scratch/schemas/{{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json" "$2"
}

verify_manifests() {
  local bin overlay values name failed=0
  bin=$(tools kubeconform kustomize helm) || return 1
  kubernetes_schemas "$scratch/schemas" || return 1

  for overlay in config/*/kustomization.yaml; do
    name=$(basename "$(dirname "$overlay")")
    echo "kustomize: config/$name"
    "$bin/kustomize" build "config/$name" >"$scratch/kustomize-$name.yaml" || { failed=1; continue; }
    conform "$bin" "$scratch/kustomize-$name.yaml" || failed=1
  done

  # The chart as it comes, and with each file of values in its ci/.
  : >"$scratch/defaults.yaml"
  for values in "$scratch/defaults.yaml" charts/backup-operator/ci/*.yaml; do
    [[ -e $values ]] || continue
    name=$(basename "$values" .yaml)
    echo "helm: $name"
    "$bin/helm" lint --strict --quiet charts/backup-operator --values "$values" || failed=1
    "$bin/helm" template backup-operator charts/backup-operator --namespace backup-system --include-crds \
      --values "$values" >"$scratch/helm-$name.yaml" || { failed=1; continue; }
    conform "$bin" "$scratch/helm-$name.yaml" || failed=1
  done
  return $failed
}

# The imports that the walls forbid: the list in .golangci.yml that forbids it, the package that must not, and what it
# must not import. All together they make no import cycle, which the compiler would refuse without any linter.
walls=(
  "api api/v1alpha1 appliance.io/backup-operator/internal/report"
  "anomaly internal/anomaly appliance.io/backup-operator/internal/catalog"
  "archive internal/archive appliance.io/backup-operator/internal/report"
  "priority internal/priority appliance.io/backup-operator/internal/report"
  "cgroup internal/cgroup appliance.io/backup-operator/internal/report"
  "catalog internal/catalog appliance.io/backup-operator/internal/rsync"
  "controllers controllers appliance.io/backup-operator/internal/archive"
  "controllers controllers appliance.io/backup-operator/internal/runner"
  "holders controllers/holders appliance.io/backup-operator/internal/report"
  "watches controllers/watches appliance.io/backup-operator/api/v1alpha1"
  "mirror controllers/mirror appliance.io/backup-operator/api/v1alpha1"
  "report internal/report appliance.io/backup-operator/internal/treetest"
  "restore internal/restore appliance.io/backup-operator/internal/catalog"
  "rsync internal/rsync appliance.io/backup-operator/internal/archive"
  "runner internal/runner appliance.io/backup-operator/api/v1alpha1"
  "no-kubernetes internal/archive k8s.io/api/core/v1"
  "no-kubernetes internal/runner sigs.k8s.io/controller-runtime"
  "main-only internal/runner github.com/spf13/cobra"
  "tests-only internal/archive appliance.io/backup-operator/internal/treetest"
  "tests-only controllers appliance.io/backup-operator/test/controlplane"
)

# package_name DIRECTORY prints the name of the Go package in a directory.
package_name() {
  sed -n 's/^package \([a-z0-9]*\)$/\1/p' "$1"/*.go | head -n 1
}

verify_walls() {
  local bin list package import number=0 failed=0
  bin=$(tools golangci-lint) || return 1
  copy "$scratch/walls"
  for number in "${!walls[@]}"; do
    read -r list package import <<<"${walls[number]}"
    printf 'package %s\n\nimport _ "%s"\n' "$(package_name "$package")" "$import" \
      >"$scratch/walls/$package/zz_wall$number.go"
  done
  # Exits non-zero, as it should: what it found is what is checked.
  (cd "$scratch/walls" && "$bin/golangci-lint" run --allow-serial-runners --enable-only depguard --uniq-by-line=false \
    --output.text.print-issued-lines=false --output.text.colors=false ./...) >"$scratch/walls.txt" 2>&1 || true
  for number in "${!walls[@]}"; do
    read -r list package import <<<"${walls[number]}"
    if ! grep -qF "$package/zz_wall$number.go:3:8: import '$import' is not allowed from list '$list'" "$scratch/walls.txt"; then
      echo "The linter lets $package import $import. Mend linters.settings.depguard.rules.$list in .golangci.yml." >&2
      failed=1
    fi
  done
  ((failed == 0)) || cat "$scratch/walls.txt" >&2
  return $failed
}

checks=("$@")
((${#checks[@]} > 0)) || checks=(generated modules format manifests walls)
bad=()
for check in "${checks[@]}"; do
  if ! declare -F "verify_$check" >/dev/null; then
    echo "hack/verify.sh: unknown check \"$check\": use generated, modules, format, manifests or walls" >&2
    exit 2
  fi
  echo "Verifying $check"
  # "set -e" does not reach into a condition, so the checks return their failures themselves.
  if ! "verify_$check"; then bad+=("$check"); fi
done
if ((${#bad[@]} > 0)); then
  echo "Not in order: ${bad[*]}" >&2
  exit 1
fi
echo "All in order: ${checks[*]}"
