// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
	"github.com/spf13/cobra"
)

func newListCommand() *cobra.Command {
	var output string
	var long longList
	cmd := &cobra.Command{
		Use:   "list --directory DIR [--prefix PREFIX] [--long BACKUP [--include PATTERN]...] [-o table|json|name]",
		Short: "List the backups in a directory, newest first, or what is in one",
		Long: `List the backups in a directory, newest first, with what each says about itself.

Backups are listed in the order in which they were made, even if a clock was wrong.

STATE is Complete; Incomplete, when something that should be in the archive isn't; Damaged, when its header, its index or
its end is not what was written; or Foreign, when the file only has the name of a backup or was written by a newer version.
Runs never count damaged or foreign ones. Contents are not checked; "verify" does that.

With --long, list what is in one backup: mode, owner, size, time of modification, path. Only the backup's index is read.
Patterns are those of "restore". As JSON, each entry is one line.`,
		Example: `  backup-operator list --directory /backup/daily
  backup-operator list --directory /backup/daily --prefix appliance -o json
  backup-operator list --directory /backup/daily --long latest --include '*.pem'`,
		DisableFlagsInUseLine: true,
		Args:                  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			printer, ok := printers[output]
			if !ok {
				return &usageError{command: cmd.CommandPath(), err: fmt.Errorf("--output %q: give table, json or name", output)}
			}
			if long.directory == "" {
				return &usageError{command: cmd.CommandPath(), err: fmt.Errorf("--directory: give the directory that holds the backups")}
			}
			if long.name != "" {
				return exitOf(cmd, listEntries(cmd, &long, output))
			}
			if len(long.include)+len(long.exclude) > 0 {
				return &usageError{command: cmd.CommandPath(), err: fmt.Errorf("--include and --exclude go with --long BACKUP")}
			}
			backups, err := listBackups(long.directory, long.prefix, long.answerTimeout)
			if err != nil {
				return exitOf(cmd, err)
			}
			if output != "name" {
				backups = long.examineAll(backups)
			}
			return printer(cmd.OutOrStdout(), backups, time.Now())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&long.directory, "directory", "", "the `DIR` that holds the backups, a backup directory or a mirror")
	f.StringVar(&long.prefix, "prefix", "", "list only the backups with this prefix")
	f.StringVar(&long.name, "long", "", "list what is in this `BACKUP`: a name, or \"latest\", the newest complete one")
	f.StringArrayVar(&long.include, "include", nil, "with --long: only what matches this `PATTERN`; repeat for more")
	f.StringArrayVar(&long.exclude, "exclude", nil, "with --long: not what matches this `PATTERN`; repeat for more")
	addAnswerTimeout(cmd, &long.answerTimeout)
	f.StringVarP(&output, "output", "o", "table", "table, json or name")
	return cmd
}

// printers are the ways to print a list.
var printers = map[string]func(io.Writer, []catalog.Backup, time.Time) error{
	"table": printTable,
	"json":  printJSON,
	"name":  printNames,
}

func printNames(w io.Writer, backups []catalog.Backup, _ time.Time) error {
	for _, b := range backups {
		if _, err := fmt.Fprintln(w, b.File); err != nil {
			return err
		}
	}
	return nil
}

func printTable(w io.Writer, backups []catalog.Backup, now time.Time) error {
	if len(backups) == 0 {
		_, err := fmt.Fprintln(w, "No backups found.")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tAGE\tSIZE\tFILES\tSTATE\tPOLICY")
	for _, b := range backups {
		files, policy := "-", "-"
		if b.Good() {
			files = fmt.Sprint(b.Summary.Files)
		}
		if b.Header.Policy != "" {
			policy = b.Header.Policy
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n",
			b.File, shortAge(now.Sub(b.Name.Time)), report.ShortBytes(b.Bytes), files, b.State, policy)
	}
	return table.Flush()
}

// listedBackup is a backup in the JSON output. Fields are only ever added.
type listedBackup struct {
	Name      string    `json:"name"`
	Prefix    string    `json:"prefix"`
	Time      time.Time `json:"time"`
	Bytes     int64     `json:"bytes"`
	State     string    `json:"state"`
	Policy    string    `json:"policy,omitempty"`
	Run       string    `json:"run,omitempty"`
	Tool      string    `json:"tool,omitempty"`
	Sequence  int64     `json:"sequence,omitempty"`
	Files     int64     `json:"files"`
	Entries   int64     `json:"entries"`
	BytesRead int64     `json:"bytesRead"`
	Warnings  int64     `json:"warnings"`
	// IncompleteFiles are those that could not be read, or not in full.
	IncompleteFiles int64    `json:"incompleteFiles,omitempty"`
	Emptied         []string `json:"emptiedSources,omitempty"`
	Error           string   `json:"error,omitempty"`
}

func printJSON(w io.Writer, backups []catalog.Backup, _ time.Time) error {
	listed := make([]listedBackup, 0, len(backups))
	for _, b := range backups {
		l := listedBackup{
			Name: b.File, Prefix: b.Name.Prefix, Time: b.Name.Time, Bytes: b.Bytes, State: string(b.State),
			Policy: b.Header.Policy, Run: b.Header.Run, Tool: b.Header.Tool, Sequence: b.Header.Sequence,
			Files: b.Summary.Files, Entries: b.Summary.Entries, BytesRead: b.Summary.BytesRead,
			IncompleteFiles: b.Summary.Warnings.Unreadable + b.Summary.Warnings.Shrank,
			Warnings:        b.Summary.Warnings.Total(), Emptied: b.Summary.Emptied(),
		}
		if b.Err != nil {
			l.Error = b.Err.Error()
		}
		listed = append(listed, l)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Backups []listedBackup `json:"backups"`
	}{listed})
}

// shortAge is a duration with its one or two greatest units, as kubectl prints ages.
func shortAge(d time.Duration) string {
	switch {
	case d < 0:
		return "in the future"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	}
}
