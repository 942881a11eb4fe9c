// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

func packCommand(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: localcluster pack IMAGE PROGRAM FILE")
	}
	return packImage(args[0], args[1], args[2])
}

// packImage writes an image archive, in the format of "docker save", of an image
// that holds one static program and runs it. Two runs give the same bytes.
func packImage(image, program, file string) error {
	if err := checkStatic(program); err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	name := filepath.Base(program)
	var layer bytes.Buffer
	if err := writeTar(&layer, tarFile{name, 0o755, content}); err != nil {
		return err
	}
	config, err := json.Marshal(object{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       object{"Entrypoint": []string{"/" + name}},
		"rootfs": object{
			"type":     "layers",
			"diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer.Bytes()))},
		},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]object{{
		"Config": "config.json", "RepoTags": []string{image}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := writeTar(&archive,
		tarFile{"layer.tar", 0o644, layer.Bytes()},
		tarFile{"config.json", 0o644, config},
		tarFile{"manifest.json", 0o644, manifest},
	); err != nil {
		return err
	}
	return os.WriteFile(file, archive.Bytes(), 0o644)
}

// checkStatic refuses a program that would look for a dynamic linker: the image
// has none, and the container's "no such file" would not say so.
func checkStatic(program string) error {
	file, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("program %s: %w", program, err)
	}
	defer file.Close()
	for _, header := range file.Progs {
		if header.Type == elf.PT_INTERP {
			return fmt.Errorf("program %s is linked dynamically: build it with CGO_ENABLED=0", program)
		}
	}
	return nil
}

type tarFile struct {
	name    string
	mode    int64
	content []byte
}

func writeTar(w io.Writer, files ...tarFile) error {
	t := tar.NewWriter(w)
	for _, file := range files {
		header := &tar.Header{Name: file.name, Mode: file.mode, Size: int64(len(file.content)), Typeflag: tar.TypeReg}
		if err := t.WriteHeader(header); err != nil {
			return err
		}
		if _, err := t.Write(file.content); err != nil {
			return err
		}
	}
	return t.Close()
}
