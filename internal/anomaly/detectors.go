// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package anomaly

import (
	"fmt"
	"path"
	"slices"

	"appliance.io/backup-operator/internal/archive"
	"appliance.io/backup-operator/internal/report"
)

// Limits of what counts as a loss. Ordinary days stay far from them: a rotated log is still there, if compressed; a cache
// that is emptied leaves the data; and of a handful of small files any may be deleted.
const (
	// lostMost is the divisor of what is left when most is lost: a tenth.
	lostMost = 10
	// lostContent is the divisor of the bytes that are left when as many files as before lost their content. Compressed
	// logs keep more than that.
	lostContent = 1000
	// lostHalf is the divisor when it is known that the file system isn't mounted any more.
	lostHalf = 2
	// fewFiles and fewBytes are what is too little for a loss of it to mean anything.
	fewFiles = 20
	fewBytes = 1 << 20
)

// emptyBackup finds a backup that holds no file at all, when there is none before that held any. A source that held files
// and is empty makes its backup incomplete, so it isn't found here.
func emptyBackup(h *History) []Finding {
	held := func(b Backup) bool { return b.files() > 0 }
	emptied := func(s archive.SourceSummary) bool { return s.Emptied }
	if held(h.Latest) || slices.ContainsFunc(h.Latest.Sources, emptied) || slices.ContainsFunc(h.Earlier, held) ||
		h.Accepted && len(h.Earlier) > 0 {
		return nil
	}
	return []Finding{{
		Reason: report.FindingNothingBackedUp,
		Message: fmt.Sprintf("%s holds no files: check that the volumes are mounted, and that exclude doesn't leave everything "+
			"out", h.Latest.Name),
	}}
}

// losses finds what each source lost. A file system that is missing says why files are, so the source isn't also said to
// have shrunk.
func losses(h *History) []Finding {
	var all []Finding
	for _, s := range h.Latest.Sources {
		if s.Emptied {
			continue // This makes the backup incomplete, which has its own report and removes no complete backup.
		}
		found := missingInside(h, s)
		if len(found) == 0 {
			found = missingVolume(h, s)
		}
		if len(found) == 0 {
			found = shrunken(h, s)
		}
		all = append(all, found...)
	}
	return all
}

// missingInside finds file systems that were mounted inside a source and aren't any more, unless what they held is there
// without them.
func missingInside(h *History, s archive.SourceSummary) []Finding {
	var all []Finding
	for _, now := range s.FileSystems {
		if !now.Gone {
			continue
		}
		c, ok := h.changeIn(s.Name, func(earlier archive.SourceSummary) bool {
			was, ok := mountedAt(earlier, now.Path)
			return ok && (now.Files < was.Files || now.Bytes < was.Bytes)
		})
		if ok {
			source, _ := c.before.source(s.Name)
			was, _ := mountedAt(source, now.Path)
			all = append(all, c.missing(h, path.Join(s.Name, now.Path), was.Files, was.Bytes, now.Files, now.Bytes))
		}
	}
	return all
}

// mountedAt returns the file system that was mounted at a path of a source, if it held files.
func mountedAt(s archive.SourceSummary, at string) (archive.FileSystem, bool) {
	for _, f := range s.FileSystems {
		if f.Path == at {
			return f, !f.Gone && f.Files > 0
		}
	}
	return archive.FileSystem{}, false
}

// missingVolume finds a source that was the root of a file system, isn't any more, and lost half of what it held.
func missingVolume(h *History, s archive.SourceSummary) []Finding {
	if s.OwnFileSystem {
		return nil
	}
	c, ok := h.changeIn(s.Name, func(earlier archive.SourceSummary) bool {
		return earlier.OwnFileSystem && (s.Files <= earlier.Files/lostHalf || s.Bytes <= earlier.Bytes/lostHalf)
	})
	if !ok {
		return nil
	}
	was, _ := c.before.source(s.Name)
	return []Finding{c.missing(h, s.Name, was.Files, was.Bytes, s.Files, s.Bytes)}
}

func (c *change) missing(h *History, where string, wasFiles, wasBytes, files, bytes int64) Finding {
	return Finding{
		Reason: report.FindingFileSystemMissing, Pause: c.agree,
		Message: fmt.Sprintf("no file system is mounted at %s any more: it held %s in %s, and %s has %s there: check that the "+
			"volume is mounted", shorten(where), amount(wasFiles, wasBytes), c.before.Name, h.Latest.Name, amount(files, bytes)),
	}
}

// shrunken finds a source that lost most of its files or of their content.
func shrunken(h *History, s archive.SourceSummary) []Finding {
	c, ok := h.changeIn(s.Name, func(earlier archive.SourceSummary) bool { return lost(earlier, s) })
	if !ok {
		return nil
	}
	was, _ := c.before.source(s.Name)
	return []Finding{{
		Reason: report.FindingSourceShrank, Pause: c.agree,
		Message: fmt.Sprintf("%s shrank: it held %s in %s and holds %s in %s: check that everything is mounted and that nothing "+
			"was deleted by mistake", s.Name, amount(was.Files, was.Bytes), c.before.Name, amount(s.Files, s.Bytes), h.Latest.Name),
	}}
}

// lost reports whether a source lost most of its files or of its content.
func lost(was, is archive.SourceSummary) bool {
	if was.Files >= fewFiles && is.Files <= was.Files/lostMost {
		return true
	}
	if was.Bytes < fewBytes {
		return false
	}
	switch {
	case is.Files < was.Files:
		return is.Bytes <= was.Bytes/lostMost
	case is.Files == was.Files:
		return is.Bytes <= was.Bytes/lostContent
	default:
		// Logs that are compressed as they are rotated become more files, and much smaller.
		return false
	}
}

// shorten keeps a path from filling the message.
func shorten(path string) string {
	const limit = 100
	if runes := []rune(path); len(runes) > limit {
		return "…" + string(runes[len(runes)-limit:])
	}
	return path
}

// amount is a number of files and their size in words.
func amount(files, bytes int64) string {
	noun := "files"
	if files == 1 {
		noun = "file"
	}
	return fmt.Sprintf("%d %s of %s", files, noun, report.ShortBytes(bytes))
}
