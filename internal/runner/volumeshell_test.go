// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"golang.org/x/sys/unix"
)

// TestMessagesThatAskForWorkOnFilesSayHow a person gets at them.
func TestMessagesThatAskForWorkOnFilesSayHow(t *testing.T) {
	b := newBench(t)
	storage := &directory{place: place{"--directory", b.config.Directory}}
	r := &run{config: b.config, storage: storage, log: slog.New(slog.DiscardHandler)}
	owned := &catalog.OwnedError{Directory: "/storage", Prefix: "web", Owner: "orbit/web"}
	for what, err := range map[string]error{
		"too little space":        checkSpace("--directory", "/storage", catalog.Space{}, 1),
		"a full directory":        directoryFault("--directory", "/storage", unix.ENOSPC),
		"another policy's prefix": ownerFault("--directory", "/storage", owned),
		"a full storage":          r.explainWrite(&catalog.NewBackup{}, unix.ENOSPC),
	} {
		if !strings.Contains(err.Error(), report.VolumeShell) {
			t.Errorf("%s: %q doesn't say %q", what, err, report.VolumeShell)
		}
	}
	damaged := []catalog.Backup{{File: "appliance-20261122T050000Z.tar.zst", State: catalog.Damaged, Err: errors.New("it is cut")}}
	r.findDamaged("mirror", damaged)
	if len(r.report.Findings) != 1 || !strings.Contains(r.report.Findings[0].Message, report.VolumeShell) {
		t.Errorf("found %+v", r.report.Findings)
	}
}
