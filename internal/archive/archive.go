// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package archive writes backups that stock tools read, and says what is in them.
//
// An archive is a sequence of independent zstd frames whose concatenated content is one POSIX (pax) tar stream, so
// that `tar --zstd -xf` restores it on a machine that has never heard of this project. A frame holds either a group of
// small entries or one chunk of a big file, never more than a few MiB, so frames are compressed in parallel, in
// bounded memory, and can later be found, checked, fetched and reused alone. What this project has to say about an
// archive stands in skippable frames, which every zstd decoder passes over: a header first (whose archive this is),
// a summary last (what is in it and whether that is all there was). docs/archive-format.md specifies it all.
//
// The way of the data, one file of this package per step:
//
//	walk (directories, sorted)  →  group (what shares a frame, and what the previous archive has of it)
//	  →  worker (take over, or read and compress; in parallel)  →  pipeline (in order to the file)  →  indexer (hash, index)
//
// Sources are in use while they are read. A file that changes, grows, shrinks, vanishes or can't be read never breaks
// the archive: it is reported through Options.Warn and counted in the Summary.
//
// The package knows nothing of Kubernetes, policies, directories of backups or retention.
package archive

import (
	"errors"
	"io"
	"os"
	"time"
)

// Format is the version of the archive format that this package writes, and the newest that it reads.
const Format = 2

// DefaultLevel is the zstd level that is used when Options.Level is 0.
const DefaultLevel = 3

// DefaultVerifyRuns is what is used when Options.VerifyRuns is 0: four weeks of daily runs.
const DefaultVerifyRuns = 28

// maxVerifyRuns is as many as the index can count.
const maxVerifyRuns = 255

// Source is one directory tree to be archived. Its entries are named Name/… in the archive.
type Source struct {
	// Name is the first path element of all entries: not empty, no slash, not "." or "..", unique in one archive.
	Name string
	// Path is the directory. It may be a symbolic link to one; links below it are archived as links.
	Path string
	// Exclude are doublestar patterns matched against paths relative to Path. A pattern without a slash matches the
	// base name at any depth; a leading slash anchors a pattern to the root. A directory that matches is left out
	// with everything below it.
	Exclude []string
	// HeldFiles says that the previous complete archive held regular files of this source. If it turns out to hold none
	// now, the archive is incomplete: a volume that isn't mounted looks just like a source that somebody emptied.
	HeldFiles bool
	// FileSystems are the directories, relative to Path, where earlier archives found other file systems mounted. If one
	// isn't mounted any more, the summary says so and what there is instead.
	FileSystems []string
}

// Header says whose archive this is. It is the first thing in the file.
type Header struct {
	// Format is the version of the format. Write sets it to the constant Format, whatever is given.
	Format int `json:"format"`
	// Policy is the policy that the archive was made for, as namespace/name.
	Policy string `json:"policy"`
	// Run is the name of the run that made it, so that a retry of the run can find its own work.
	Run string `json:"run,omitempty"`
	// CreatedAt is when the run began, in UTC.
	CreatedAt time.Time `json:"createdAt"`
	// Sequence is greater in archives that were made later, whatever the clock said; 0 in archives of older versions.
	Sequence int64 `json:"sequence,omitempty"`
	// Tool is the program and version that wrote the archive.
	Tool string `json:"tool,omitempty"`
	// Level is the zstd level that it was written at. Write sets it.
	Level int `json:"level,omitempty"`
}

// Summary says what is in an archive. It is the last thing in the file, so an archive that has one is whole.
type Summary struct {
	// Complete is false when something that should be in the archive is not: a file that couldn't be read in full, or
	// all files of a source (see Source.HeldFiles).
	Complete bool `json:"complete"`
	// Entries is the number of members of the tar stream: files, directories, links and special files.
	Entries int64 `json:"entries"`
	// Files is the number of regular files, without further names of hard-linked ones.
	Files int64 `json:"files"`
	// Directories is the number of directories, with the sources' roots.
	Directories int64 `json:"directories"`
	// Symlinks is the number of symbolic links.
	Symlinks int64 `json:"symlinks"`
	// HardLinks is the number of further names of files that are in the archive already.
	HardLinks int64 `json:"hardLinks"`
	// Specials is the number of device nodes and named pipes.
	Specials int64 `json:"specials"`
	// Skipped is the number of sockets, which tar can't hold and nobody needs back.
	Skipped int64 `json:"skipped"`
	// Excluded is the number of names left out by exclude patterns; what is below an excluded directory isn't counted.
	Excluded int64 `json:"excluded"`
	// BytesRead is the number of bytes of file content in the archive, read from the sources or known to be unchanged;
	// holes of sparse files don't count.
	BytesRead int64 `json:"bytesRead"`
	// BytesTar is the size of the tar stream: what `zstd -d` gives.
	BytesTar int64 `json:"bytesTar"`
	// BytesWritten is the size of the archive up to the summary's own frame: within a few KiB of the file's size.
	BytesWritten int64 `json:"bytesWritten"`
	// Sources is what came from each source, in the order in which they were given.
	Sources []SourceSummary `json:"sources"`
	// Warnings counts what was reported through Options.Warn.
	Warnings WarningCounts `json:"warnings"`
	// DamagedPrevious is the file name of Options.Previous if any of the warnings is Damaged.
	DamagedPrevious string `json:"damagedPrevious,omitempty"`
}

// SourceSummary is one source's share of an archive.
type SourceSummary struct {
	// Name is Source.Name.
	Name string `json:"name"`
	// Entries is the number of the source's members in the tar stream. The root is one of them.
	Entries int64 `json:"entries"`
	// Files is the number of its regular files, without further names of hard-linked ones.
	Files int64 `json:"files"`
	// Bytes is the number of bytes of file content that came from it, as in Summary.BytesRead.
	Bytes int64 `json:"bytes"`
	// Emptied is true when it had no regular files although Source.HeldFiles said that there were some: incomplete.
	Emptied bool `json:"emptied,omitempty"`
	// OwnFileSystem is true when the source's root was the root of a file system, as that of a volume is.
	OwnFileSystem bool `json:"ownFileSystem,omitempty"`
	// FileSystems are other file systems inside the source.
	FileSystems []FileSystem `json:"fileSystems,omitempty"`
}

// WarningKind says what was noticed about a file.
type WarningKind string

const (
	// Changed: the file's content or metadata changed while it was read. What is archived may be a mixture.
	Changed WarningKind = "Changed"
	// Grew: the file grew while it was read, as logs do. It is archived up to the size that it had when it was opened.
	Grew WarningKind = "Grew"
	// Shrank: the file became shorter while it was read. The missing part is archived as zeros: incomplete.
	Shrank WarningKind = "Shrank"
	// Vanished: the file was gone before it could be opened. Nothing is archived, and nothing is missing. A file that
	// another one took the place of hasn't vanished: that one is archived.
	Vanished WarningKind = "Vanished"
	// Unreadable: the file, directory or its metadata couldn't be read, in whole or in part: incomplete.
	Unreadable WarningKind = "Unreadable"
	// Skipped: a socket. It is left out.
	Skipped WarningKind = "Skipped"
	// Itself: the archive that is being written was found in a source. It is left out.
	Itself WarningKind = "Itself"
	// Destination: a directory that the run writes to (see Options.Destinations) was found in a source. It is left out
	// with all that is below it.
	Destination WarningKind = "Destination"
	// Emptied: a source holds no regular files and did in the previous complete archive: incomplete.
	Emptied WarningKind = "Emptied"
	// Damaged: a part of the previous archive isn't what was written there. Nothing is missing in the new one, into which
	// that part comes from the source once more; but the previous one's medium is to be looked at.
	Damaged WarningKind = "Damaged"
	// NotReused: a part of the previous archive couldn't be taken over, though nothing says that it is damaged: it couldn't
	// be reached, or a file in it was changed meanwhile. Nothing is missing in the new one.
	NotReused WarningKind = "NotReused"
)

// WarningCounts is the number of warnings of each kind. Sockets are counted in Summary.Skipped only.
type WarningCounts struct {
	Changed     int64 `json:"changed,omitempty"`
	Grew        int64 `json:"grew,omitempty"`
	Shrank      int64 `json:"shrank,omitempty"`
	Vanished    int64 `json:"vanished,omitempty"`
	Unreadable  int64 `json:"unreadable,omitempty"`
	Itself      int64 `json:"itself,omitempty"`
	Destination int64 `json:"destination,omitempty"`
	Emptied     int64 `json:"emptied,omitempty"`
	Damaged     int64 `json:"damaged,omitempty"`
	NotReused   int64 `json:"notReused,omitempty"`
}

// Total is the number of warnings of all kinds.
func (c WarningCounts) Total() int64 {
	return c.Changed + c.Grew + c.Shrank + c.Vanished + c.Unreadable + c.Itself + c.Destination + c.Emptied + c.Damaged +
		c.NotReused
}

// Warning is something noticed about one file, or a source as a whole, that did not stop the archive.
type Warning struct {
	// Source is Source.Name.
	Source string
	// Path is relative to the source's root, "." for the root itself. It may not be valid UTF-8.
	Path string
	// Kind is what was noticed.
	Kind WarningKind
	// Err is the details for people, may be empty.
	Err string

	// shortage is set if it isn't about the file at all (see isShortage): the archive can't be made.
	shortage error
}

// Progress is how far Write has come. All numbers grow only.
type Progress struct {
	// Source is the source that is being read.
	Source string
	// Files is the number of regular files archived so far, comparable with Measurement.Files.
	Files int64
	// BytesRead is the number of bytes of content archived so far, comparable with Measurement.Bytes.
	BytesRead int64
	// BytesWritten is the number of bytes written to the file so far.
	BytesWritten int64
}

// Options are the settings of Write.
type Options struct {
	// Header is stored in the archive.
	Header Header
	// Level is a zstd level, 1 to 19; 0 means DefaultLevel. The encoder has four: 1 to 3 is its fastest, 4 and 5, 6 to 9,
	// and 10 to 19 each take more time for less space.
	Level int
	// Concurrency is the number of frames compressed at the same time; 0 means GOMAXPROCS.
	Concurrency int
	// Destinations are the directories that the run writes to. One that is inside a source, by whatever mount it got
	// there, is left out with all that is below it: else each archive would hold the earlier ones. They are recognised
	// by device and inode.
	Destinations []OutputDirectory
	// Previous is an earlier archive, open for reading, best the newest good one of the same policy; nil if there is
	// none. What hasn't changed since is taken over from it. The archive that comes out decompresses to the same bytes
	// with and without it, whatever it is and whatever becomes of it meanwhile.
	Previous *os.File
	// VerifyRuns is within how many runs every byte that is taken over is read and checked once; 0 means
	// DefaultVerifyRuns. At 1 all of it is in each run.
	VerifyRuns int
	// Checksums, when set, is where the SHA-256 of every regular file in the archive goes, in the form of sha256sum(1)
	// with paths as in the archive. Sparse files are mentioned in comments. It is written to when the archive is done.
	Checksums io.Writer
	// Progress, when set, is called often (after every frame written), never concurrently. It must return quickly.
	Progress func(Progress)
	// Warn, when set, is called for every warning, never concurrently. It must return quickly.
	Warn func(Warning)

	previousName string // of Previous, also when that was given up

	// For tests; nil means time.Now and unix.Syncfs.
	now   func() time.Time
	flush func(fd int) error
}

// Measurement is what Measure found in the sources.
type Measurement struct {
	// Files is the number of regular files, without further names of hard-linked ones.
	Files int64
	// Entries is the number of names that would be archived.
	Entries int64
	// Bytes is the size of all the files' content, without holes.
	Bytes int64
	// EstimatedBytes is the expected size of the archive with a margin, so that it is rarely too low.
	EstimatedBytes int64
}

// Result is what Write made.
type Result struct {
	Summary Summary
	// Reuse is what became of the data that the previous archive holds as well.
	Reuse Reuse
	// Size is the size of the whole file in bytes.
	Size int64
}

// Info is what an archive says about itself.
type Info struct {
	Header  Header
	Summary Summary
}

var (
	// ErrInvalidSource means that a source can't be archived as it is given: a name that can't be used, a path that
	// isn't there, isn't a directory, can't be opened or is one of the destinations. The error's text names the source
	// and the fix.
	ErrInvalidSource = errors.New("invalid source")
	// ErrInvalidExclude means that an exclude pattern is malformed. The error's text names the pattern.
	ErrInvalidExclude = errors.New("invalid exclude pattern")
	// ErrInvalidLevel means that Options.Level is out of range.
	ErrInvalidLevel = errors.New("invalid zstd level")
	// ErrNotArchive means that a file was not written by this package: a stranger's file.
	ErrNotArchive = errors.New("not an archive of the appliance backup operator")
	// ErrTruncated means that a file begins as an archive but its end is missing or damaged.
	ErrTruncated = errors.New("archive is truncated or damaged")
	// ErrDamaged means that a part of an archive isn't what was written there.
	ErrDamaged = errors.New("archive is damaged")
	// ErrNoIndex means that an archive has no index, so that it can only be read from its beginning to its end, as tar
	// does. Archives of format 1 have none.
	ErrNoIndex = errors.New("archive has no index")
	// ErrFutureFormat means that an archive was written in a format newer than Format.
	ErrFutureFormat = errors.New("archive format is newer than this program")
)
