// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"github.com/spf13/cobra"
)

func newVerifyCommand() *cobra.Command {
	var which chosen
	var output string
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "verify --directory DIR [--prefix PREFIX] [--backup NAME|latest|all] [-o text|json]",
		Short: "Check every byte of a backup",
		Long: `Check every byte of a backup: that the file is what was written, and that each file in it has the content that was
archived. Files that are affected by damage are named; all others can be restored. Files that could not be read in full
when the backup was made are named too. The list of checksums beside the backup is compared with it.

Exit status: 0 good; 1 a passing fault, such as storage that does not answer; 3 damaged or incomplete; 64 wrong input, or not
a backup.`,
		Example: `  backup-operator verify --directory /backup/daily
  backup-operator verify --directory /backup/daily --prefix appliance --backup all -o json`,
		DisableFlagsInUseLine: true,
		Args:                  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return &usageError{command: cmd.CommandPath(), err: fmt.Errorf("--output %q: give text or json", output)}
			}
			standBack(slog.New(slog.NewTextHandler(os.Stderr, nil)))
			return exitOf(cmd, runVerify(cmd, &which, output == "json", interval))
		},
	}
	which.addFlags(cmd, `"latest", the newest complete one, or "all"`)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	cmd.Flags().DurationVar(&interval, "progress-interval", 30*time.Second, "how often to log progress; 0 means never")
	return cmd
}

// runVerify checks the backups that are meant, one after the other.
func runVerify(cmd *cobra.Command, which *chosen, asJSON bool, interval time.Duration) error {
	backups, err := which.find(cmd, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	opts := archive.VerifyOptions{Concurrency: readersThatFit(log)}
	all := which.name == allBackups
	checked, damaged := 0, false
	var failed error
	for _, b := range backups {
		if all && b.State == catalog.Foreign {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is passed over: it is foreign\n", b.File)
			continue
		}
		v, err := verifyOne(cmd, which, b, interval, opts, asJSON)
		switch {
		case err == nil:
		case !all || cmd.Context().Err() != nil || errors.As(err, new(*catalog.NoAnswerError)):
			return err
		case errors.Is(err, os.ErrNotExist):
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is passed over: it was removed meanwhile\n", b.File)
			continue
		default:
			failed = errors.Join(failed, err) // The others are still to be checked.
			continue
		}
		checked++
		damaged = damaged || !v.Good || !v.Complete
		if err := v.print(cmd.OutOrStdout()); err != nil {
			return err
		}
	}
	return verdict(cmd, which.directory, checked, damaged, failed)
}

// verdict is what the program ends with when so many backups were checked. Damage outranks what couldn't be checked.
func verdict(cmd *cobra.Command, directory string, checked int, damaged bool, failed error) error {
	switch {
	case damaged && failed != nil:
		fmt.Fprintf(cmd.ErrOrStderr(), "Error: %s\n", failed)
		fallthrough
	case damaged:
		return exitStatus(report.ExitIncomplete)
	case failed == nil && checked == 0:
		return &invalidError{fmt.Errorf("--directory %s: there are no backups", directory)}
	}
	return failed
}

// verifiedBackup is what is told of one backup, as one line of JSON. Fields are only ever added.
type verifiedBackup struct {
	Name    string  `json:"name"`
	Good    bool    `json:"good"`
	Bytes   int64   `json:"bytes"`
	Frames  int64   `json:"frames"`
	Entries int64   `json:"entries"`
	Files   int64   `json:"files"`
	Seconds float64 `json:"seconds"`
	// Complete is false if something was missing when the backup was made: what could be read in part, if anything, is in
	// Incomplete.
	Complete   bool          `json:"complete"`
	Incomplete []printedPath `json:"incomplete,omitempty"`
	// Sound is Good but for the list of checksums beside the archive, of which List says what is wrong.
	Sound bool   `json:"sound"`
	List  string `json:"checksumsError,omitempty"`

	Problems []verifiedProblem `json:"problems,omitempty"`
	// Omitted is how many problems and paths are left out because there are more than maxVerified.
	Omitted int64 `json:"omitted,omitempty"`

	text    io.Writer // where problems are told at once; nil if all is told at the end, as JSON
	mutex   sync.Mutex
	lacking bool // a file could not be read in full when the backup was made
	told    int
}

// maxVerified is how many problems and paths a line of JSON has at most.
const maxVerified = 10_000

type verifiedProblem struct {
	archive.Problem
	Paths []printedPath `json:"affected,omitempty"`
}

// printedPath is a path in JSON, which has no bytes that aren't UTF-8: then it is in base64 too.
type printedPath struct {
	Path  string `json:"path"`
	Bytes string `json:"pathBytes,omitempty"`
}

func newPrintedPath(path string) printedPath {
	if utf8.ValidString(path) {
		return printedPath{Path: path}
	}
	return printedPath{Path: strings.ToValidUTF8(path, "\uFFFD"), Bytes: base64.StdEncoding.EncodeToString([]byte(path))}
}

// verifyOne checks one backup.
func verifyOne(
	cmd *cobra.Command, which *chosen, b catalog.Backup, interval time.Duration, opts archive.VerifyOptions, asJSON bool,
) (*verifiedBackup, error) {
	f, err := which.openBackup(b)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	progress := watch(interval, func(done int64) {
		log.Info("verifying", "backup", b.File, "bytes", done, "ofBytes", f.size)
	})
	defer progress.stop()
	out, began := &verifiedBackup{Name: b.File, Bytes: f.size}, time.Now()
	if !asJSON {
		out.text = cmd.OutOrStdout()
	}
	opts.Progress, opts.Problem, opts.Flawed = progress.set, out.problem, out.flawed
	list, err := which.openBackup(catalog.Backup{File: b.File + catalog.SidecarSuffix})
	if err == nil {
		defer list.Close()
		opts.Checksums = io.NewSectionReader(list, 0, list.size)
	} else if !errors.Is(err, os.ErrNotExist) {
		return out, fmt.Errorf("%s: %w", b.File, err)
	}
	missing := err != nil
	v, err := archive.Verify(cmd.Context(), f, f.size, opts)
	if errors.Is(err, archive.ErrNoIndex) {
		err = fmt.Errorf("%w; \"zstd -t\" checks it", err)
	}
	if err != nil {
		return out, fmt.Errorf("%s: %w", b.File, err)
	}
	out.Complete = v.Complete && !out.lacking
	if out.List = v.List; missing {
		out.List = "it is missing"
	}
	out.Sound = v.Problems == 0
	out.Good = out.Sound && out.List == ""
	out.Frames, out.Entries, out.Files = v.Frames, v.Entries, v.Files
	out.Seconds = time.Since(began).Seconds()
	return out, nil
}

// problem prints a problem, or keeps it for the line of JSON.
func (v *verifiedBackup) problem(p archive.Problem) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if v.text != nil {
		fmt.Fprintf(v.text, "%s: %d bytes at %d: %s\n", v.Name, p.Length, p.Offset, p.Err)
		for _, path := range p.Paths {
			fmt.Fprintf(v.text, "%s: affected: %s\n", v.Name, quotePath(path))
		}
		return
	}
	if !v.hasRoom() {
		return
	}
	out := verifiedProblem{Problem: p}
	for _, path := range p.Paths {
		if v.hasRoom() {
			out.Paths = append(out.Paths, newPrintedPath(path))
		}
	}
	out.Problem.Paths = nil
	v.Problems = append(v.Problems, out)
}

// flawed does the same with a file that could not be read in full.
func (v *verifiedBackup) flawed(path string) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	v.lacking = true
	if v.text != nil {
		fmt.Fprintf(v.text, "%s: incomplete: %s could not be read in full when the backup was made\n", v.Name, quotePath(path))
	} else if v.hasRoom() {
		v.Incomplete = append(v.Incomplete, newPrintedPath(path))
	}
}

// hasRoom counts a problem or a path and reports whether it is among those that are told.
func (v *verifiedBackup) hasRoom() bool {
	v.told++
	if v.told > maxVerified {
		v.Omitted++
	}
	return v.told <= maxVerified
}

// print tells what was found: all of it as one line of JSON, or what hasn't been told at once.
func (v *verifiedBackup) print(w io.Writer) error {
	if v.text == nil {
		return json.NewEncoder(w).Encode(v)
	}
	if v.Good && !v.Complete {
		_, err := fmt.Fprintf(w, "%s: INCOMPLETE, but as it was written: %s, %d files\n",
			v.Name, report.ShortBytes(v.Bytes), v.Files)
		return err
	}
	if v.Good {
		_, err := fmt.Fprintf(w, "%s: good: %s, %d files\n", v.Name, report.ShortBytes(v.Bytes), v.Files)
		return err
	}
	if v.List != "" {
		fmt.Fprintf(w, "%s%s: %s\n", v.Name, catalog.SidecarSuffix, v.List)
	}
	verdict := "DAMAGED"
	if v.Sound {
		verdict = "the archive is good, but the list of the checksums of its files isn't"
	}
	_, err := fmt.Fprintf(w, "%s: %s\n", v.Name, verdict)
	return err
}
