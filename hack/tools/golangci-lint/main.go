// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command golangci-lint is golangci-lint with kube-api-linter linked into it.
//
// Linters that are not part of golangci-lint are linked in at build time. Its own
// `golangci-lint custom` does so in a clone of its Git repository; this package does
// the same with nothing but Go modules, so that the versions of both are pinned in
// go.mod like those of all the other tools, and no Git host has to be reached.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/golangci/golangci-lint/v2/pkg/commands"
	"github.com/golangci/golangci-lint/v2/pkg/exitcodes"

	// Registers the linter "kubeapilinter".
	_ "sigs.k8s.io/kube-api-linter"
)

// linterModule is the module whose version this command reports as its own.
const linterModule = "github.com/golangci/golangci-lint/v2"

func main() {
	if err := commands.Execute(buildInfo()); err != nil {
		fmt.Fprintf(os.Stderr, "golangci-lint: %v\n", err)
		os.Exit(exitcodes.Failure)
	}
}

// buildInfo says what golangci-lint prints as its version.
func buildInfo() commands.BuildInfo {
	info := commands.BuildInfo{
		GoVersion: runtime.Version(),
		Version:   "unknown",
		Commit:    "with kube-api-linter",
		Date:      "unknown",
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if module.Path == linterModule {
				info.Version = module.Version
			}
		}
	}
	return info
}
