// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/report"
	"appliance.io/backup-operator/internal/runner"
	"github.com/spf13/cobra"
)

// backupFlags are the flags of the command as they are given.
type backupFlags struct {
	config         runner.Config
	sources        []string
	excludes       []string
	terminationLog string
	reportLimit    int
	logFormat      string
}

func newBackupCommand() *cobra.Command {
	var flags backupFlags
	cmd := &cobra.Command{
		Use:   "backup --policy NAMESPACE/NAME --source NAME=PATH... --directory DIR --prefix PREFIX --keep N",
		Short: "Make one backup, synchronize it, and remove those beyond the number to keep",
		Long: `Make one backup, synchronize it, and remove those beyond the number to keep.

One complete archive of all sources is written to the directory as PREFIX-20261122T050000Z.tar.zst (the time is UTC),
with a .sha256 beside it. It can be restored with nothing but "tar --zstd -xf"; the files of the source "data" are
data/… in it, and "sha256sum -c" with the .sha256 checks what was restored. The sources may be in use meanwhile.

What hasn't changed since the archive before in the same directory is taken over from it without being read again. Where
the file system can, as XFS and Btrfs, both then share the space; each is still complete, and the other can go.
So that damage on the disk doesn't spread to all archives, each run reads and checks a share of what it takes over: all
of it within half as many runs as backups are kept.

With --rsync-directory, the archives are then brought there with rsync. Nothing is removed from either directory
before its replacement is safe, the newest complete backup never, and files that aren't this policy's never.

A backup that differs from those before it as ordinary days don't explain, because a source lost most of its files or a
file system isn't mounted any more, is reported as a finding. No complete backup is removed then until further backups
show the same, as many as are kept and at least 3, or until --accept-change names the backup.

Exit status: 0 done; 1 a passing fault, worth a retry; 3 an archive was made but is incomplete, because
files couldn't be read or a source that held files is empty; 64 wrong settings, a retry can't help.`,
		Example: `  # Two directories, the newest 7 backups are kept, and mirrored
  backup-operator backup --policy orbit/appliance \
      --source data=/src/data --source sessions=/src/sessions --exclude 'data=cache/**' --exclude 'data=*.tmp' \
      --directory /backup/daily --prefix appliance --keep 7 --rsync-directory /remote/mirror

  # Restore all of one
  tar --zstd -xf /backup/daily/appliance-20261122T050000Z.tar.zst -C /restored`,
		DisableFlagsInUseLine: true,
		Args:                  noArguments,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return backup(cmd, flags) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&flags.config.Policy, "policy", "", "the policy that runs, as `NAMESPACE/NAME`; outside Kubernetes any two words")
	f.StringArrayVar(&flags.sources, "source", nil, "a directory to back up, as `NAME=PATH`; repeat for more")
	f.StringArrayVar(&flags.excludes, "exclude", nil,
		"leave out what matches, as `NAME=PATTERN`: ** spans directories, a pattern without a slash matches at any depth; "+
			"repeat for more")
	f.StringVar(&flags.config.Directory, "directory", "", "the backup directory, an absolute `DIR`; it is made if need be")
	f.StringVar(&flags.config.Prefix, "prefix", "", "what the names of the archives begin with; each policy in a directory has its own")
	f.IntVar(&flags.config.Keep, "keep", 0, "how many backups are kept, at least 1")
	f.StringVar(&flags.config.RsyncDirectory, "rsync-directory", "", "synchronize the backups to this absolute `DIR` with rsync")
	f.StringVar(&flags.config.Run, "run", "", "the run's own `ID`: a retry with the same goes on from the archive it finds")
	f.DurationVar(&flags.config.LockTimeout, "lock-timeout", 10*time.Minute, "how long to wait for another run in the same directory")
	f.DurationVar(&flags.config.AnswerTimeout, "answer-timeout", answerTimeout,
		"how long a directory may take to answer before the run does without it, or fails; ten times as long once it works "+
			"there; 0 means forever")
	f.DurationVar(&flags.config.SyncTimeout, "sync-timeout", 10*time.Minute,
		"how long a synchronization may stand still, without a byte moving, before it fails; 0 means for ever")
	f.DurationVar(&flags.config.ProgressInterval, "progress-interval", 30*time.Second, "how often to log progress; 0 means never")
	f.IntVar(&flags.config.Level, "level", archive.DefaultLevel, "the zstd level, 1 to 19")
	f.IntVar(&flags.config.VerifyRuns, "verify-runs", 0,
		"read and check everything that is reused within this `NUMBER` of runs, a share in each run; 1 checks all of it in "+
			"every run (default: half of --keep, at least 1 and at most 28)")
	f.StringVar(&flags.config.AcceptChange, "accept-change", "",
		"the file name of a `BACKUP` that is as it should be, however much it differs from those before it: no later one is "+
			"compared with these, and they may be removed")
	f.BoolVar(&flags.config.NoReuse, "no-reuse", false, "read everything, and take nothing over from the archive before")
	f.StringVar(&flags.logFormat, "log-format", "text", "text or json")
	f.StringVar(&flags.terminationLog, "termination-log", "", "write a report for the operator to this `FILE`, as JSON")
	f.IntVar(&flags.reportLimit, "termination-log-limit", report.MaxBytes,
		"how many `BYTES` the report may have at most: the kubelet cuts off more where a pod has many containers")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return refuse(cmd, valueOf(os.Args, "--termination-log"), &usageError{command: cmd.CommandPath(), err: err})
	})
	return cmd
}

// backup does one run and leaves the report.
func backup(cmd *cobra.Command, flags backupFlags) error {
	log, err := newLogger(os.Stderr, flags.logFormat)
	if err == nil {
		flags.config.Sources, err = parseSources(flags.sources, flags.excludes)
	}
	if err != nil {
		return refuse(cmd, flags.terminationLog, &usageError{command: cmd.CommandPath(), err: err})
	}
	standBack(log)
	flags.config.Concurrency = writersThatFit(log, flags.config.Level)
	flags.config.Tool = "backup-operator " + programVersion()
	result, exit := runner.Run(cmd.Context(), flags.config, runner.Environment{Log: log, Now: time.Now})
	if err := writeReport(flags.terminationLog, flags.reportLimit, result); err != nil {
		log.Error("the report could not be written", "file", flags.terminationLog, "error", err)
		exit = cmp.Or(exit, report.ExitFailed)
	}
	if exit != report.ExitSucceeded {
		return exitStatus(exit)
	}
	return nil
}

// refuse leaves a report of a command line that can't be understood, for the operator can see nothing else of it.
func refuse(cmd *cobra.Command, terminationLog string, refusal *usageError) error {
	now := time.Now().UTC().Truncate(time.Second)
	policy, _ := cmd.Flags().GetString("policy")
	run, _ := cmd.Flags().GetString("run")
	limit, _ := cmd.Flags().GetInt("termination-log-limit")
	err := writeReport(terminationLog, limit, report.Report{
		Policy: policy, Run: run, StartTime: now, CompletionTime: now,
		Outcome: report.Failed, Reason: report.ReasonInvalidSettings, Message: refusal.Error(),
	})
	if err != nil {
		return &usageError{command: refusal.command, err: errors.Join(refusal.err, err)}
	}
	return refusal
}

// valueOf finds a flag's value in arguments that can't be parsed as a whole, empty if it isn't there.
func valueOf(args []string, flag string) string {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, flag+"="); ok {
			return value
		}
		if arg == flag && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// writeReport writes a report in place: in a pod the file is mounted by itself and can't be renamed.
func writeReport(file string, limit int, r report.Report) error {
	if file == "" {
		return nil
	}
	content, err := report.EncodeWithin(r, limit)
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}

// parseSources puts sources and their excludes together.
func parseSources(sources, excludes []string) ([]archive.Source, error) {
	var parsed []archive.Source
	index := map[string]int{}
	for _, s := range sources {
		name, path, ok := strings.Cut(s, "=")
		if !ok || name == "" || path == "" {
			return nil, fmt.Errorf("--source %q: give it as NAME=PATH, as in --source data=/src/data", s)
		}
		index[name] = len(parsed)
		parsed = append(parsed, archive.Source{Name: name, Path: path})
	}
	for _, e := range excludes {
		name, pattern, ok := strings.Cut(e, "=")
		if !ok || name == "" || pattern == "" {
			return nil, fmt.Errorf("--exclude %q: give it as NAME=PATTERN, as in --exclude 'data=cache/**'", e)
		}
		i, ok := index[name]
		if !ok {
			return nil, fmt.Errorf("--exclude %q: there is no --source named %q", e, name)
		}
		parsed[i].Exclude = append(parsed[i].Exclude, pattern)
	}
	return parsed, nil
}

// newLogger makes the log.
func newLogger(w io.Writer, format string) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	default:
		return nil, fmt.Errorf("--log-format %q: give text or json", format)
	}
}
