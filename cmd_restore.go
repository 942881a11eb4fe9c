// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"appliance.io/backup-operator/internal/restore"
	"github.com/spf13/cobra"
)

// restoreFlags are the flags of the command as they are given.
type restoreFlags struct {
	chosen
	targets   []string
	options   restore.Options
	interval  time.Duration
	logFormat string
}

func newRestoreCommand() *cobra.Command {
	var flags restoreFlags
	cmd := &cobra.Command{
		Use:   "restore --directory DIR [--backup NAME|latest] --target SOURCE=DIR... [--include PATTERN]...",
		Short: "Restore a backup, or some files of one",
		Long: `Restore a backup, or some files of one.

Each source is restored into the directory that is given for it; sources that are not named are not restored. A --target
that is only a directory gets everything, each source in a directory of its name. Missing directories are created.

Patterns are matched against SOURCE/PATH, as "list --long" shows it. Without any of *?[{\ a pattern is one path, found
without reading the rest. ** spans directories; a pattern without a slash, such as *.pem, matches names at any
depth; a directory matches with everything in it. --exclude takes precedence over --include.

Files that are already as they are in the backup are kept, so an interrupted restore can be run again. If others differ,
nothing is written unless --overwrite is given. Files that the backup does not have are left alone.

Files that could not be read in full when the backup was made are named. They are restored where no file exists,
but replace none unless --overwrite-with-incomplete is given.

Only root can set owners and create device nodes. As another user, you own everything that is restored.

Exit status: 0 done; 1 a passing fault, worth a retry; 3 done but incomplete: what is damaged, was incomplete in the
backup or cannot be created here is named, the rest is restored; 64 wrong input: no such backup, files that differ, or a
file that isn't an archive.`,
		Example: `  # All of the newest complete backup: data into /restored/data, logs into /restored/logs
  backup-operator restore --directory /backup/daily --target /restored

  # One source of a certain backup, into a volume
  backup-operator restore --directory /backup/daily --backup appliance-20261122T050000Z.tar.zst --target data=/mnt/data

  # A directory and all certificates
  backup-operator restore --directory /backup/daily --target /restored --include data/etc --include '*.pem'`,
		DisableFlagsInUseLine: true,
		Args:                  noArguments,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return exitOf(cmd, runRestore(cmd, &flags)) },
	}
	flags.addFlags(cmd, `"latest", the newest complete one`)
	f := cmd.Flags()
	f.StringArrayVar(&flags.targets, "target", nil, "where a source goes, as `SOURCE=DIR`, repeat for more; or a DIR for all")
	f.StringArrayVar(&flags.options.Include, "include", nil, "restore only what matches this `PATTERN`; repeat for more")
	f.StringArrayVar(&flags.options.Exclude, "exclude", nil, "don't restore what matches this `PATTERN`; repeat for more")
	f.BoolVar(&flags.options.Overwrite, "overwrite", false, "replace files that differ from those in the backup")
	f.BoolVar(&flags.options.OverwriteWithFlawed, "overwrite-with-incomplete", false,
		"--overwrite also with files that could not be read in full when the backup was made")
	f.DurationVar(&flags.interval, "progress-interval", 30*time.Second, "how often to log progress; 0 means never")
	f.StringVar(&flags.logFormat, "log-format", "text", "text or json")
	return cmd
}

// runRestore restores one backup.
func runRestore(cmd *cobra.Command, flags *restoreFlags) error {
	log, err := newLogger(os.Stderr, flags.logFormat)
	if err == nil {
		err = parseTargets(flags.targets, &flags.options)
	}
	if err == nil && flags.name == allBackups {
		err = fmt.Errorf("--backup %s: give one", allBackups)
	}
	if err != nil {
		return &usageError{command: cmd.CommandPath(), err: err}
	}
	backups, err := flags.find(cmd, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	b := backups[0]
	a, f, err := flags.openArchive(cmd.Context(), b)
	if err != nil {
		return err
	}
	defer f.Close()
	return restoreBackup(cmd.Context(), log, b, a, flags)
}

// restoreBackup restores and tells of it.
func restoreBackup(ctx context.Context, log *slog.Logger, b catalog.Backup, a *archive.Archive, flags *restoreFlags) error {
	if b.State == catalog.Incomplete {
		log.Warn("the backup is incomplete: something was missing when it was made", "backup", b.File)
	}
	began := time.Now()
	flags.options.Overwrite = flags.options.Overwrite || flags.options.OverwriteWithFlawed
	progress := watch(flags.interval, func(p restore.Progress) {
		log.Info("restoring", "files", p.Files, "ofFiles", b.Summary.Files, "bytes", p.Bytes, "ofBytes", b.Summary.BytesRead)
	})
	flags.options.Progress = progress.set
	flags.options.Concurrency = readersThatFit(log)
	flags.options.Warn = func(w restore.Warning) {
		if w.Kind == restore.Damaged {
			log.Warn("the backup is damaged", "from", w.Path, "error", w.Err)
			return
		}
		log.Warn("not as in the backup", "path", w.Path, "what", w.Kind, "error", w.Err)
	}
	result, err := restore.Run(ctx, a, flags.options)
	progress.stop()
	if err != nil {
		return explainRestore(ctx, err)
	}
	if result.Unowned > 0 {
		log.Info("owners could not be set, which takes root: the files are the user's who restores", "entries", result.Unowned)
	}
	if len(result.Refused) > 0 {
		log.Warn("the target does not take these extended attributes; everything else of the files is restored",
			"attributes", counts(result.Refused))
	}
	if result.Mixed > 0 {
		log.Info("files were written to while they were backed up, and may be a mixture of two states; \"list --long\" marks them",
			"entries", result.Mixed)
	}
	attributes := []any{
		"backup", b.File, "files", result.Files, "kept", result.Kept, "directories", result.Directories,
		"bytes", result.Bytes, "duration", time.Since(began).Round(time.Millisecond),
	}
	lacking := b.State == catalog.Incomplete && !result.OnlyFiles
	if result.Complete() && lacking {
		log.Error("restored all that is in the backup, which is incomplete: something could not be read when it was made",
			append(attributes, "unreadable", b.Summary.Warnings.Unreadable, "emptied", b.Summary.Emptied())...)
		return exitStatus(report.ExitIncomplete)
	}
	if result.Complete() {
		log.Info("restored", attributes...)
		return nil
	}
	log.Error("restored, but not all of it", append(attributes, "lost", result.Lost, "differing", result.Differing,
		"failed", result.Failed, "partial", result.Partial, "incomplete", result.Flawed, "unmatched", result.Unmatched)...)
	return exitStatus(report.ExitIncomplete)
}

// counts writes down how many there are of each name.
func counts(of map[string]int64) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		list = append(list, fmt.Sprintf("%s: %d", quotePath(name), of[name]))
	}
	return strings.Join(list, ", ")
}

// explainRestore says what to do about an error.
func explainRestore(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the restore was told to stop; run it again to go on: %w", err)
	case errors.Is(err, restore.ErrConflict):
		return fmt.Errorf("%w; nothing was written. To replace them give --overwrite, or restore to another place", err)
	}
	return err
}

// parseTargets takes the targets apart: SOURCE=DIR, or DIR for everything.
func parseTargets(targets []string, opts *restore.Options) error {
	opts.Targets = map[string]string{}
	for _, t := range targets {
		source, path, ok := strings.Cut(t, "=")
		isSource := ok && source != "" && !strings.Contains(source, "/")
		switch {
		case isSource && path == "", t == "":
			return fmt.Errorf("--target %q: give it as SOURCE=DIR, as in --target data=/dst/data, or as DIR", t)
		case !isSource && opts.Target != "":
			return fmt.Errorf("--target %q: there is one for everything already", t)
		case !isSource:
			opts.Target = t
		case opts.Targets[source] != "":
			return fmt.Errorf("--target %q: there is one for %q already", t, source)
		default:
			opts.Targets[source] = path
		}
	}
	if len(targets) == 0 {
		return errors.New("--target: give a directory for everything, or SOURCE=DIR for each source that is to be restored")
	}
	if opts.Target != "" && len(opts.Targets) > 0 {
		return errors.New("--target: give a directory for everything, or SOURCE=DIR for each source, not both")
	}
	return nil
}
