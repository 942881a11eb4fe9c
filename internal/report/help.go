// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package report

// VolumeShell belongs in each message that asks a person to remove, move or rename files in a backup directory or a
// mirror. Outside Kubernetes the message already says all that is needed.
const VolumeShell = "on Kubernetes, docs/volume-shell.md shows how"
