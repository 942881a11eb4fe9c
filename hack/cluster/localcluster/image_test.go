// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestPackImageDescribesWhatItHolds(t *testing.T) {
	program := filepath.Join(t.TempDir(), "pause")
	if err := os.WriteFile(program, minimalELF(), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := packImage("localhost/pause:test", program, file); err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := readTar(t, archive)
	var config struct {
		Config struct{ Entrypoint []string }
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(files["config.json"], &config); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(files["layer.tar"])); config.Rootfs.DiffIDs[0] != want {
		t.Errorf("the layer's digest is %s, want %s", config.Rootfs.DiffIDs[0], want)
	}
	layer := readTar(t, files["layer.tar"])
	if _, ok := layer[config.Config.Entrypoint[0][1:]]; !ok {
		t.Errorf("the image runs %s, which is not in its layer", config.Config.Entrypoint[0])
	}
	var manifest []struct{ RepoTags []string }
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest[0].RepoTags[0] != "localhost/pause:test" {
		t.Errorf("the image is named %s", manifest[0].RepoTags[0])
	}
}

func TestPackImageRefusesWhatIsNoProgram(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if packImage("localhost/script:test", script, filepath.Join(t.TempDir(), "image.tar")) == nil {
		t.Error("a script was packed, whose interpreter the image does not hold")
	}
}

// minimalELF is the header of a program for this test's purposes: 64 bit, little
// endian, no segments, and so no dynamic linker.
func minimalELF() []byte {
	header := make([]byte, 64)
	copy(header, "\x7fELF\x02\x01\x01")
	header[16], header[18], header[20] = 2, 62, 1 // executable, x86-64, version
	header[52], header[54], header[58] = 64, 56, 64
	return header
}

func readTar(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}
