# What can be done here: `make help`. Needs Go, Git and make; whatever else a target needs, it builds or installs.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# The version that the binary is stamped with.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# What `make test` and `make test-race` run, and with which flags. `make test` runs all of it anew each time, because some
# tests build programs whose changes Go's cache of results does not see. make test PACKAGES=./internal/... TESTFLAGS=-v
PACKAGES ?= ./...
TESTFLAGS ?=
# What `make bench` measures: make bench BENCHFLAGS='-size 0.1 -filesystems xfs'
BENCHFLAGS ?=
# What `make bench-scale` measures: make bench-scale SCALEFLAGS='-policies 1000 -pods 5000 -rest 1m'
SCALEFLAGS ?=

# Static binaries, and no need for a C compiler.
export CGO_ENABLED := 0
# Modules of this repository stand for themselves, whatever workspace it is cloned into.
export GOWORK := off

##@ Everyday

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make TARGET" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z0-9-]*:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build the static binary bin/backup-operator.
	@echo "Building bin/backup-operator $(VERSION)"
	@go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/backup-operator .

.PHONY: fmt
fmt: ## Format the Go code.
	@"$$(hack/tools/build.sh golangci-lint)" fmt

.PHONY: lint
lint: ## Check the Go code: bugs, style, the API's conventions, the walls between the packages.
	@linter=$$(hack/tools/build.sh golangci-lint); \
	echo "Linting (a minute or two with a cold cache)"; \
	"$$linter" run --allow-serial-runners ./...

##@ What is generated

.PHONY: generate
generate: ## Generate Go code from the API's types.
	@hack/generate.sh code

.PHONY: manifests
manifests: ## Generate the CRD, the role, the chart's copies of them, and docs/api-reference.md.
	@hack/generate.sh manifests

.PHONY: verify
verify: ## Check that what is generated is current, modules are tidy, manifests are valid and the walls hold.
	@hack/verify.sh

##@ Tests

.PHONY: test
test: packages ## Run the tests, the API's against a real control plane (built from Go modules the first time: 10 minutes).
	@assets=$$(hack/cluster/build.sh); \
	echo "Testing $(PACKAGES)"; \
	KUBEBUILDER_ASSETS="$$assets" go test -count=1 -timeout 20m $(TESTFLAGS) $(PACKAGES)
	@go -C test/remote/smb-csi test $(TESTFLAGS) ./...

.PHONY: test-race
test-race: packages ## Run the tests with the race detector (needs a C compiler).
	@command -v "$$(go env CC)" >/dev/null || { echo "The race detector needs a C compiler: install gcc" >&2; exit 1; }
	@assets=$$(hack/cluster/build.sh); \
	echo "Testing $(PACKAGES) with the race detector"; \
	CGO_ENABLED=1 KUBEBUILDER_ASSETS="$$assets" go test -race -timeout 40m $(TESTFLAGS) $(PACKAGES)

.PHONY: e2e
e2e: ## Test every setting on a real cluster with a real kubelet, which is made for it and removed after (root).
	@hack/e2e.sh

.PHONY: bench
bench: ## Measure backups and restores against tar, restic, borg and rsync (root, an hour): docs/benchmarks.md.
	@hack/install-packages.sh test/bench/packages.txt
	@go run ./test/bench $(BENCHFLAGS)

.PHONY: bench-scale
bench-scale: ## Measure the operator with 10,000 policies on a real API server (half an hour, 8 GiB of memory): docs/scale.md.
	@assets=$$(hack/cluster/build.sh); \
	KUBEBUILDER_ASSETS="$$assets" go run ./test/scale $(SCALEFLAGS)

.PHONY: fresh
fresh: ## Run make demo, make test and make build, each as the first command on a fresh Debian (root, an hour).
	@hack/fresh.sh

##@ A cluster to look at

.PHONY: demo
demo: ## See backups happen: a cluster, an appliance that goes on writing, a policy, a restore (root, or KUBECONFIG).
	@hack/demo.sh

.PHONY: demo-down
demo-down: ## Remove what make demo left to look at.
	@hack/demo.sh down

.PHONY: cluster-up
cluster-up: ## Start a local cluster of one node (root).
	@hack/cluster/up.sh

.PHONY: cluster-down
cluster-down: ## Stop it, and remove what it left.
	@hack/cluster/down.sh

.PHONY: image
image: ## Build the container image: with docker or podman, or as an archive without either (root).
	@VERSION=$(VERSION) hack/image/make.sh

##@ Housekeeping

.PHONY: packages
packages: ## Install the Debian packages that tests need, where they are missing (root; who is not is told how).
	@hack/install-packages.sh test/packages.txt test/bench/packages.txt

.PHONY: tools
tools: ## Build all development tools at their pinned versions.
	@hack/tools/build.sh controller-gen crd-ref-docs golangci-lint helm kubeconform kustomize

.PHONY: clean
clean: ## Remove what was built in the checkout. Caches outside it stay.
	@rm -rf bin dist
