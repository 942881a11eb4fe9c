// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// options are what the flags say.
type options struct {
	plan
	size    float64
	rounds  int
	margin  time.Duration
	files   int
	program string
	json    string
	dir     string
}

// mounts says whether anything but a plain directory is wanted.
func (o options) mounts() bool {
	return slices.ContainsFunc(o.filesystems, func(fs string) bool { return fs != plain })
}

func parseOptions(args []string, output io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.Float64Var(&o.size, "size", 1, "size of the data set; 1 is 3 GiB")
	flags.IntVar(&o.rounds, "runs", 3, "how often all is measured")
	flags.DurationVar(&o.margin, "margin", 2*time.Second,
		"how old the data is made before a backup; a minute for network file systems")
	flags.IntVar(&o.days, "days", week, "of how many days there are backups, at least 2")
	flags.IntVar(&o.keep, "keep", keepAll,
		"how many backups backup-operator keeps: the fewer, the more of what it reuses is read and checked in each run")
	filesystems := flags.String("filesystems", "xfs,btrfs,ext4",
		"on which to measure; the first with all candidates, the others with ours and tar. plain is a directory, without root")
	flags.BoolVar(&o.everywhere, "everywhere", false, "measure all candidates on all file systems")
	only := flags.String("only", "",
		"regular expression of what to measure, as FILESYSTEM/CANDIDATE/STEP, for example xfs/(ours|tar)/restore; candidates: "+
			strings.Join(candidates, ", ")+"; steps: first, unchanged, changed, space, sent, restore, one, verify")
	flags.IntVar(&o.files, "files", 0, "measure the memory that so many empty files take instead")
	flags.StringVar(&o.program, "program", "", "absolute path of the backup-operator to measure; default: one that is built")
	flags.StringVar(&o.json, "json", "", "write all samples to this file as well")
	flags.StringVar(&o.dir, "dir", "", "where the temporary directory is made; default: the system's place for them")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.filesystems = strings.Split(*filesystems, ",")
	for _, fs := range o.filesystems {
		if !knownFilesystem(fs) {
			return o, fmt.Errorf("-filesystems %s: there is no %q; give xfs, btrfs, ext4 or plain", *filesystems, fs)
		}
	}
	if o.size <= 0 || o.rounds < 1 || o.days < 2 || o.keep < 1 || o.files < 0 || flags.NArg() > 0 {
		return o, errors.New("-size, -runs and -keep must be positive, -days at least 2 and -files not negative; " +
			"there are no other arguments")
	}
	if *only != "" {
		pattern, err := regexp.Compile(*only)
		if err != nil {
			return o, fmt.Errorf("-only: %w", err)
		}
		o.only = pattern
	}
	if o.files == 0 && len(o.all()) == 0 {
		return o, fmt.Errorf("-only %s: nothing is called so; an example: xfs/ours/restore", *only)
	}
	return o, nil
}
