// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/report"
)

// firstFormat is an archive of format 1, which has no index: its header and its summary.
func firstFormat() []byte {
	record := func(kind byte, text, tail string) []byte {
		payload := append([]byte("ABOARCHV"), kind, 0, 1, 0)
		payload = binary.LittleEndian.AppendUint32(payload, uint32(len(text)))
		payload = append(payload, text...)
		payload = binary.LittleEndian.AppendUint32(payload, crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
		out := binary.LittleEndian.AppendUint32(nil, 0x184D2A5A)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(payload)+len(tail)))
		return append(append(out, payload...), tail...)
	}
	file := append([]byte{0x28, 0xB5, 0x2F, 0xFD, 0x20, 0, 1, 0, 0}, record('H', `{"format":1,"policy":"orbit/appliance"}`, "")...)
	tail := string(binary.LittleEndian.AppendUint64(nil, uint64(len(file)))) + "ABOTAIL\n"
	return append(file, record('S', `{"complete":true}`, tail)...)
}

func writeArchive(t *testing.T, path string) {
	t.Helper()
	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "a"), []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var list bytes.Buffer
	_, err = archive.Write(t.Context(), f, []archive.Source{{Name: "data", Path: source}}, archive.Options{Checksums: &list})
	if err := errors.Join(err, f.Close(), os.WriteFile(path+".sha256", list.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// verifyAll runs the command on all backups of a directory.
func verifyAll(t *testing.T, directory string) (exit exitStatus, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := newVerifyCommand()
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	cmd.SetContext(t.Context())
	err := exitOf(cmd, runVerify(cmd, &chosen{directory: directory, name: allBackups}, false, 0))
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return exit, out.String(), errOut.String()
}

// What can't be checked is told, and the others are checked all the same.
func TestOneBackupThatCannotBeCheckedDoesNotKeepTheOthers(t *testing.T) {
	dir := t.TempDir()
	newest, oldest := filepath.Join(dir, "a-20260103T000000Z.tar.zst"), filepath.Join(dir, "a-20260101T000000Z.tar.zst")
	if err := os.WriteFile(newest, firstFormat(), 0o600); err != nil {
		t.Fatal(err)
	}
	writeArchive(t, oldest)
	exit, stdout, stderr := verifyAll(t, dir)
	if exit != report.ExitInvalid || !strings.Contains(stdout, "a-20260101T000000Z.tar.zst: good") ||
		!strings.Contains(stderr, "a-20260103T000000Z.tar.zst: ") {
		t.Errorf("exit status %d\n%s%s", exit, stdout, stderr)
	}
	if err := os.Truncate(oldest, 9000); err != nil {
		t.Fatal(err)
	}
	if exit, stdout, stderr := verifyAll(t, dir); exit != report.ExitIncomplete || !strings.Contains(stderr, "20260103") {
		t.Errorf("exit status %d\n%s%s", exit, stdout, stderr)
	}
}

func TestNoBackupAtAllIsNotGood(t *testing.T) {
	dir := t.TempDir()
	if exit, _, stderr := verifyAll(t, dir); exit != report.ExitInvalid || !strings.Contains(stderr, "there are no backups") {
		t.Errorf("exit status %d\n%s", exit, stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, "a-20260101T000000Z.tar.zst"), []byte("foreign"), 0o600); err != nil {
		t.Fatal(err)
	}
	if exit, _, stderr := verifyAll(t, dir); exit != report.ExitInvalid || !strings.Contains(stderr, "passed over") {
		t.Errorf("only a foreign file: exit status %d\n%s", exit, stderr)
	}
}

// An archive may have any number of problems. Neither way of telling them keeps them all.
func TestWhatVerifyKeepsIsBounded(t *testing.T) {
	paths := make([]string, 500)
	var text strings.Builder
	asText, asJSON := &verifiedBackup{text: &text}, &verifiedBackup{}
	for range 100 {
		for _, v := range []*verifiedBackup{asText, asJSON} {
			v.problem(archive.Problem{Paths: paths})
			v.flawed("data/a")
		}
	}
	if got := strings.Count(text.String(), "\n"); got != 100*502 || len(asText.Problems)+len(asText.Incomplete) > 0 {
		t.Errorf("%d lines are told, and %d problems kept", got, len(asText.Problems))
	}
	kept := len(asJSON.Incomplete) + len(asJSON.Problems)
	for _, p := range asJSON.Problems {
		kept += len(p.Paths)
		if p.Problem.Paths != nil {
			t.Error("the paths are kept twice")
		}
	}
	if kept != maxVerified || asJSON.Omitted == 0 {
		t.Errorf("%d are kept and %d omitted, want %d", kept, asJSON.Omitted, maxVerified)
	}
}
