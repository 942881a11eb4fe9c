// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package readers

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"appliance.io/backup-operator/internal/treetest"
)

// loss is something that a reader can't restore.
type loss struct {
	// what is lost, in the words of docs/archive-format.md.
	what string
	// forgive takes from both snapshots what is lost, and nothing else.
	forgive func(want, got treetest.Snapshot)
}

var (
	losesXattrs = loss{"extended attributes and ACLs", func(want, got treetest.Snapshot) {
		each(want, got, func(w, g *treetest.Facts) {
			if g.Xattrs == nil {
				w.Xattrs = nil
			}
		})
	}}
	losesOthersXattrs = loss{"extended attributes but those in `user.`", func(want, got treetest.Snapshot) {
		each(want, got, func(w, _ *treetest.Facts) {
			maps.DeleteFunc(w.Xattrs, func(name, _ string) bool {
				return !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "system.")
			})
			if len(w.Xattrs) == 0 {
				w.Xattrs = nil
			}
		})
	}}
	losesXattrNames = loss{"`%` and `=` in the names of extended attributes", func(want, got treetest.Snapshot) {
		each(want, got, func(_, g *treetest.Facts) {
			for name, value := range g.Xattrs {
				delete(g.Xattrs, name)
				g.Xattrs[strings.NewReplacer("%3D", "=", "%25", "%").Replace(name)] = value
			}
		})
	}}
	losesFractions = loss{"fractions of seconds", func(want, got treetest.Snapshot) {
		each(want, got, func(w, g *treetest.Facts) {
			if g.ModTime == strings.Split(w.ModTime, ".")[0]+".000000000" {
				g.ModTime = w.ModTime
			}
		})
	}}
	losesNanoseconds = loss{"times below a microsecond", func(want, got treetest.Snapshot) {
		each(want, got, func(w, g *treetest.Facts) {
			if d := modTime(w).Sub(modTime(g)); d.Abs() < time.Microsecond {
				g.ModTime = w.ModTime
			}
		})
	}}
	losesFractionsBefore1970 = loss{"fractions of seconds before 1970", func(want, got treetest.Snapshot) {
		each(want, got, func(w, g *treetest.Facts) {
			if at, restored := modTime(w), modTime(g); at.Unix() < 0 && restored.Sub(at).Abs() < 2*time.Second {
				g.ModTime = w.ModTime
			}
		})
	}}
	losesDirectoryTimes = losesTimesOf("directory", "times of directories that aren't empty")
	losesSymlinkTimes   = losesTimesOf("symlink", "times of symbolic links")
	losesSymlinkOwners  = loss{"owners of symbolic links", func(want, got treetest.Snapshot) {
		each(want, got, func(w, g *treetest.Facts) {
			if w.Type == "symlink" {
				g.Owner = w.Owner
			}
		})
	}}
	losesHoles = loss{"files with holes", func(want, got treetest.Snapshot) {
		// What is restored is the map and the data, in a directory beside the place of the file, and no further name.
		for path := range got {
			before, name, ok := strings.Cut(path, "GNUSparseFile.0")
			if !ok {
				continue
			}
			delete(got, path)
			whole := before + strings.TrimPrefix(name, "/")
			links := want[whole].Links
			maps.DeleteFunc(want, func(path string, facts treetest.Facts) bool {
				return path == whole || links != "" && facts.Links == links
			})
		}
	}}
)

// losesLinksToHoles is what is still lost when the pieces have been put together.
var losesLinksToHoles = loss{"further names of files with holes", func(want, got treetest.Snapshot) {
	for path, w := range want {
		first, _, _ := strings.Cut(w.Links, " ")
		if _, there := got[path]; !there && want[path].Sparse && path != first {
			delete(want, path)
		}
	}
	each(want, got, func(w, g *treetest.Facts) {
		if w.Sparse && g.Links == "" {
			w.Links = ""
		}
	})
}}

// losesTimesOf is the loss of the times of all files of a type.
func losesTimesOf(typ, what string) loss {
	return loss{what, func(want, got treetest.Snapshot) {
		each(want, got, func(w, g *treetest.Facts) {
			if w.Type == typ {
				g.ModTime = w.ModTime
			}
		})
	}}
}

// each calls a function for the facts of all that is in both snapshots.
func each(want, got treetest.Snapshot, change func(w, g *treetest.Facts)) {
	for path, w := range want {
		if g, ok := got[path]; ok {
			change(&w, &g)
			want[path], got[path] = w, g
		}
	}
}

func modTime(f *treetest.Facts) time.Time {
	var sec, nsec int64
	if _, err := fmt.Sscanf(f.ModTime, "%d.%d", &sec, &nsec); err != nil {
		panic(err)
	}
	return time.Unix(sec, nsec)
}
