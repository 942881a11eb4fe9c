// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package api holds the CRD against a real API server: what it takes, what it refuses and with which words.
package api

import (
	"os"
	"testing"

	"appliance.io/backup-operator/test/controlplane"
)

func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }
