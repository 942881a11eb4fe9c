// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// inNode runs a command in the node, where mounts are the node's own.
func inNode(t *testing.T, args ...string) string {
	t.Helper()
	name := os.Getenv("CLUSTER_NAME")
	if name == "" {
		t.Fatal("CLUSTER_NAME is not set: run these tests by make e2e, which makes the cluster")
	}
	return command(t, "../../hack/cluster/exec.sh", append([]string{"--name", name}, args...)...)
}

// TestTooLittleSpace: there must be enough space in the storage system, and when there isn't, a run says so before it
// writes, and the backups of before stay.
func TestTooLittleSpace(t *testing.T) {
	t.Parallel()
	a := newAppliance(t)
	small := a.path("small")
	a.volume("small", small, nil)
	inNode(t, "mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small)
	p := a.apply("appliance", func(s *spec) {
		s.Storage.PersistentVolumeClaim = claim("small")
		s.FileBackupMode = backupv1alpha1.FileBackupModeArchive
	})
	made := p.mustRun().Archive

	noise := make([]byte, 8<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	a.write(string(noise), "sessions", "big.rec")
	run := p.run()
	if run.Outcome != backupv1alpha1.OutcomeFailed || run.Reason != "NotEnoughSpace" || run.Archive != "" {
		t.Errorf("%+v", run)
	}
	if !regexp.MustCompile(`\d.*need|need.*\d`).MatchString(run.Message) || !strings.Contains(run.Message, "free") {
		t.Errorf("the message doesn't tell needed and free bytes: %s", run.Message)
	}
	held := strings.Fields(inNode(t, "ls", filepath.Join(small, "daily")))
	wantSame(t, "the directory", []string{made, made + ".sha256"}, held)
}
