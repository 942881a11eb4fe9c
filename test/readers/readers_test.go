// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// reader is a program that restores archives and knows nothing of this project.
type reader struct {
	// command restores an archive below a directory.
	command func(archive, target string) *exec.Cmd
	// locale is what it is run in; C if empty.
	locale string
	// harmless is what it may say although it does the right thing.
	harmless *regexp.Regexp
	// variant says that it is another reader in other clothes, for which the tree of all kinds of files is enough.
	variant bool
	// losses are what it can't restore. Whatever isn't lost must be equal.
	losses []loss
}

// gnuSays is what GNU tar says: hdrcharset tells other readers what it does anyhow, and some of the times are strange.
var gnuSays = regexp.MustCompile(`(?m)^tar: (Ignoring unknown extended header keyword 'hdrcharset'` +
	`|.*: implausibly old time stamp .*|.*: time stamp 2242-.* in the future)\n`)

// busyboxSays is what busybox says of further names of files with holes.
var busyboxSays = regexp.MustCompile(`(?m)^tar: can't create hardlink 'data/sparse/no hole' to 'data/sparse/middle'.*\n`)

func gnuTar(flags ...string) func(archive, target string) *exec.Cmd {
	return func(archive, target string) *exec.Cmd {
		return exec.Command("tar", append(flags, "--xattrs", "--acls", "-xpf", archive, "-C", target)...)
	}
}

var readers = map[string]reader{
	"GNU tar":          {command: gnuTar("--zstd", "--xattrs-include=*"), harmless: gnuSays},
	"GNU tar in UTF-8": {command: gnuTar("--zstd", "--xattrs-include=*"), harmless: gnuSays, locale: "C.UTF-8", variant: true},
	// Nor does it need to be told of zstd.
	"GNU tar without options": {command: gnuTar(), harmless: gnuSays, losses: []loss{losesOthersXattrs}, variant: true},
	"bsdtar": {
		command: func(archive, target string) *exec.Cmd {
			return exec.Command("bsdtar", "-xpf", archive, "-C", target)
		},
		locale: "C.UTF-8",
		losses: []loss{losesFractionsBefore1970, losesXattrNames},
	},
	"busybox": {
		command: func(archive, target string) *exec.Cmd {
			return exec.Command("sh", "-c", `zstd -dc -- "$1" | busybox tar -xpf - -C "$2"`, "-", archive, target)
		},
		harmless: busyboxSays,
		losses:   []loss{losesXattrs, losesFractions, losesDirectoryTimes, losesSymlinkTimes, losesSymlinkOwners, losesHoles},
	},
	"busybox and expand.sh": {
		command: func(archive, target string) *exec.Cmd {
			// With nothing but busybox's own programs.
			return exec.Command("sh", "-c", `set -e
				mkdir "$2/bin"
				/bin/busybox --install -s "$2/bin"
				zstd -dc -- "$1" | busybox tar -xpf - -C "$2" || status=$?
				PATH="$2/bin" sh testdata/expand.sh "$2/data"
				exit $status`, "-", archive, target)
		},
		harmless: busyboxSays,
		variant:  true,
		losses: []loss{
			losesXattrs, losesFractions, losesDirectoryTimes, losesSymlinkTimes, losesSymlinkOwners, losesLinksToHoles,
		},
	},
	"Python": {
		command: func(archive, target string) *exec.Cmd {
			return exec.Command("/usr/bin/python3", "testdata/extract.py", archive, target)
		},
		losses: []loss{losesXattrs, losesNanoseconds, losesSymlinkTimes},
	},
}

// restore runs the reader, and returns what it said that isn't harmless. Exit status 1 means no more than that it said
// something.
func (r reader) restore(archive, target string) (said string, err error) {
	cmd := r.command(archive, target)
	locale := r.locale
	if locale == "" {
		locale = "C"
	}
	cmd.Env = append(os.Environ(), "LC_ALL="+locale)
	out, err := cmd.CombinedOutput()
	if r.harmless != nil {
		rest := r.harmless.ReplaceAll(out, nil)
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 && len(rest) < len(out) {
			err = nil
		}
		out = rest
	}
	return string(out), err
}

// restored is where the source data is below the target.
func restored(target string) string { return filepath.Join(target, "data") }
