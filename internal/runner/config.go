// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
)

// Config is what a run is asked to do. Its errors speak of the command line's flags, which is where it comes from.
type Config struct {
	// Policy is the policy that runs, as namespace/name. Everything that is written carries it.
	Policy string
	// Run is the run's own name. A retry has the same; empty means that there will be none.
	Run string
	// Sources are the directories that are backed up, at least one.
	Sources []archive.Source
	// Directory is the backup directory.
	Directory string
	// Prefix begins the names of the archives.
	Prefix string
	// Keep is how many backups are kept, at least 1.
	Keep int
	// RsyncDirectory is the directory to which the backups are synchronized; empty means that they aren't.
	RsyncDirectory string
	// LockTimeout is how long to wait for another run to end; 0 means not at all.
	LockTimeout time.Duration
	// AnswerTimeout is how long a directory's file system may take to answer before the run does without it, or ends; 0
	// means forever. Once a run works in a directory, it waits ten times as long: what passes must not cost an archive.
	AnswerTimeout time.Duration
	// SyncTimeout is how long a synchronization may stand still before it fails; 0 means for ever.
	SyncTimeout time.Duration
	// ProgressInterval is the time between two lines of progress in the log; 0 means that there are none.
	ProgressInterval time.Duration
	// Level is the zstd level of the archive, 1 to 19; 0 means the archive package's default.
	Level int
	// Concurrency is how many processors compress; 0 means all.
	Concurrency int
	// VerifyRuns is the number of runs within which everything that is reused is read and checked, 1 to 255: each run
	// checks a share, and with 1 everything. 0 means that the number follows from Keep.
	VerifyRuns int
	// AcceptChange is the name of a backup that is as it should be, however much it differs from those before it: no later
	// one is compared with them. Empty if there is none.
	AcceptChange string
	// NoReuse makes the archive without taking anything over from an earlier one.
	NoReuse bool
	// Tool is the program and its version, for the archive's header.
	Tool string
}

var (
	policyPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	sourcePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)
)

// Validate returns everything that is wrong with the configuration by itself, before a file system is looked at.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if !policyPattern.MatchString(c.Policy) {
		wrong("--policy %q: give the policy's namespace and name, as in --policy orbit/appliance", c.Policy)
	}
	if len(c.Sources) == 0 {
		wrong("--source: give at least one directory to back up, as in --source data=/src/data")
	}
	errs = append(errs, checkSources(c.Sources)...)
	errs = append(errs, checkDirectory("--directory", c.Directory))
	if err := catalog.CheckPrefix(c.Prefix); err != nil {
		wrong("--prefix: %w", err)
	}
	if c.Keep < 1 {
		wrong("--keep %d: keep at least 1 backup", c.Keep)
	}
	if c.RsyncDirectory != "" {
		errs = append(errs, checkDirectory("--rsync-directory", c.RsyncDirectory))
	}
	for _, t := range []struct {
		flag  string
		value time.Duration
		zero  string
	}{
		{"--lock-timeout", c.LockTimeout, ""},
		{"--answer-timeout", c.AnswerTimeout, "; 0 means to wait forever"},
		{"--sync-timeout", c.SyncTimeout, "; 0 means to wait forever"},
		{"--progress-interval", c.ProgressInterval, "; 0 means no progress in the log"},
	} {
		if t.value < 0 {
			wrong("%s %s: give a time that is not negative%s", t.flag, t.value, t.zero)
		}
	}
	if c.Level < 0 || c.Level > 19 {
		wrong("--level %d: give a zstd level from 1 to 19", c.Level)
	}
	if c.VerifyRuns < 0 || c.VerifyRuns > 255 {
		wrong("--verify-runs %d: give a number of runs from 1, which checks everything that is reused in each run, to 255; "+
			"0 means half of --keep", c.VerifyRuns)
	}
	return errors.Join(append(errs, checkAcceptChange(c.AcceptChange, c.Prefix))...)
}

// checkAcceptChange returns an error for a name that no backup can have.
func checkAcceptChange(name, prefix string) error {
	if _, ok := catalog.ParseName(name); ok || name == "" {
		return nil
	}
	return fmt.Errorf("--accept-change %q: give the file name of a backup, as in --accept-change %s-20261122T050000Z.tar.zst",
		name, prefix)
}

func checkSources(sources []archive.Source) []error {
	var errs []error
	seen := map[string]bool{}
	for _, s := range sources {
		flag := fmt.Sprintf("--source %s=%s", s.Name, s.Path)
		if !sourcePattern.MatchString(s.Name) {
			errs = append(errs, fmt.Errorf("%s: name the source with letters, digits, dots, dashes and underscores, as in "+
				"--source data=/src/data", flag))
		}
		if seen[s.Name] {
			errs = append(errs, fmt.Errorf("%s: there is another source named %q: their files would mix; give it another name",
				flag, s.Name))
		}
		seen[s.Name] = true
		errs = append(errs, checkDirectory(flag, s.Path))
	}
	return errs
}

// checkDirectory returns an error for a path that isn't absolute or not in its shortest form.
func checkDirectory(flag, path string) error {
	switch {
	case path == "":
		return fmt.Errorf("%s: give a directory", flag)
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf("%s %q: give an absolute path, one that begins with a slash", flag, path)
	case filepath.Clean(path) != strings.TrimSuffix(path, "/") && path != "/":
		return fmt.Errorf("%s %q: give the path as %q", flag, path, filepath.Clean(path))
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("%s %q: a path can't contain a zero byte", flag, path)
	}
	return nil
}
