// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package report

// Exit codes of the runner. They tell Kubernetes, and scripts, whether another try can help.
const (
	// ExitSucceeded: a complete backup was made and synchronized as asked.
	ExitSucceeded = 0
	// ExitFailed: a passing fault; another try may help.
	ExitFailed = 1
	// ExitIncomplete: an archive was made but lacks something that should have been in it; for verify and restore, something
	// is damaged or could not be restored.
	ExitIncomplete = 3
	// ExitInvalid: wrong settings or input; another try can't help. It is EX_USAGE of sysexits(3), and not 2, because Go
	// programs that crash exit with 2.
	ExitInvalid = 64
)
