#!/usr/bin/env bash
# Copyright The Appliance Backup Operator Authors
# SPDX-License-Identifier: Apache-2.0
#
# Usage: hack/generate.sh code|manifests
#
# Writes everything in the repository that is generated:
#   code       methods of the API's types                    api/v1alpha1/zz_generated.deepcopy.go
#   manifests  the CRD, from the API's types and markers      config/crd/bases
#              the operator's role, from controllers/         config/rbac/role.yaml
#              the chart's copies of it, of all roles, of the charts/backup-operator/files
#              alerting rules and of the dashboard
#              the API's reference, from the API's comments   docs/api-reference.md
#
# Works on the tree that it stands in. TOOLS names a directory of tools that are built already.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# tool NAME prints the path of a development tool.
tool() {
  if [[ -n ${TOOLS:-} ]]; then echo "$TOOLS/$1"; else hack/tools/build.sh "$1"; fi
}

generate_code() {
  echo "Generating deep-copy methods" >&2
  "$(tool controller-gen)" object:headerFile=hack/boilerplate.go.txt paths=./api/...
}

generate_manifests() {
  echo "Generating the CRD and the operator's role" >&2
  local controller_gen
  controller_gen=$(tool controller-gen)
  "$controller_gen" crd paths=./api/... output:crd:dir=config/crd/bases
  go run ./hack/crd config/crd/bases/*.yaml
  "$controller_gen" rbac:roleName=backup-operator paths=./controllers/... output:rbac:dir=config/rbac

  # Helm reads no files outside of its chart.
  echo "Copying the CRD, the roles, the alerting rules and the dashboard into the chart" >&2
  local chart=charts/backup-operator/files
  rm -rf "$chart"
  mkdir -p "$chart"/{crds,rbac,monitoring} docs
  cp config/crd/bases/*.yaml "$chart/crds/"
  cp config/rbac/*role.yaml "$chart/rbac/"
  cp config/prometheus/prometheus_rule.yaml config/grafana/dashboard.json "$chart/monitoring/"

  echo "Generating the API's reference" >&2
  "$(tool crd-ref-docs)" --source-path=api --config=hack/crd-ref-docs/config.yaml --renderer=markdown \
    --templates-dir=hack/crd-ref-docs --output-path=docs/api-reference.md --log-level=ERROR
}

case ${1:-} in
code) generate_code ;;
manifests) generate_manifests ;;
*)
  sed -n '5,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
  ;;
esac
