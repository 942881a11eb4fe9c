// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// VerifyOptions are the settings of Verify.
type VerifyOptions struct {
	// Concurrency is the number of frames checked at the same time; 0 means GOMAXPROCS.
	Concurrency int
	// Problem, when set, is called for everything that is wrong, in the order of the file, never concurrently.
	Problem func(Problem)
	// Flawed, when set, is called for every entry of which a part could not be read when the archive was made, in the order
	// of the file, never concurrently with itself. Such an archive may be as it was written.
	Flawed func(path string)
	// Progress, when set, is called often with the number of bytes of the file that are checked, never concurrently.
	Progress func(bytes int64)
	// Checksums, when set, is the list that Write wrote to Options.Checksums. It is compared with the archive, as far as the
	// archive's index can be read.
	Checksums io.Reader
}

// Problem is something that is wrong with an archive.
type Problem struct {
	// Offset and Length are where in the file it is.
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
	// Err is what is wrong, for people.
	Err string `json:"error"`
	// Paths are the entries that can't be restored, or not as they were. They may not be valid UTF-8.
	Paths []string `json:"-"`
}

// Verification is what Verify found.
type Verification struct {
	// Bytes is the size of the file.
	Bytes int64
	// Frames, Entries and Files are the numbers of frames, of entries in them, and of regular files among these.
	Frames, Entries, Files int64
	// Problems is the number of things that are wrong. An archive without any is as it was written.
	Problems int64
	// List is what is wrong with VerifyOptions.Checksums; empty if nothing is.
	List string
	// Complete is what the archive says of itself: nothing was missing when it was made.
	Complete bool
}

// Verify checks every byte of an archive: that it is what was written, that the parts of the file agree with each other,
// and that each file's content has its hash. Memory is bounded.
//
// What is wrong is told by VerifyOptions.Problem and counted. Errors are ErrNotArchive, ErrFutureFormat, ErrNoIndex, what
// r returned (but EIO, which is damage), or the cause of ctx being done.
func Verify(ctx context.Context, r io.ReaderAt, size int64, opts VerifyOptions) (Verification, error) {
	if opts.Concurrency <= 0 {
		opts.Concurrency = runtime.GOMAXPROCS(0)
	}
	v := &verifier{options: &opts, result: Verification{Bytes: size}, list: newListChecker(opts.Checksums)}
	a, err := Open(r, size)
	if err != nil {
		a, err = v.openDamaged(ctx, r, size, err)
	}
	if a == nil || err != nil {
		return v.result, err
	}
	if v.archive = a; a.starts != nil {
		return v.result, v.salvaged(ctx)
	}
	v.result.Complete = a.info.Summary.Complete
	for _, s := range a.info.Summary.Sources {
		v.counted.Sources = append(v.counted.Sources, SourceSummary{Name: s.Name})
	}
	if err := v.run(ctx); err != nil {
		return v.result, err
	}
	return v.result, nil
}

// isDamage tells whether an error means that bytes are lost, and others needn't be.
func isDamage(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, unix.EIO) }

// verifier is one run of Verify. Its layout part goes through the file from its beginning to its end.
type verifier struct {
	archive *Archive
	options *VerifyOptions
	result  Verification

	cursor  int64 // up to where the layout is accounted for
	records int   // of the index, accounted for
	seek    seekTable
	blind   bool // something isn't known, so that sums can't be compared
	stream  streamChecker
	flaws   flawChecker
	counted Summary

	frames *frameChecker
	list   *listChecker
}

// problem counts and tells what is wrong.
func (v *verifier) problem(p Problem) {
	v.result.Problems++
	if v.options.Problem != nil {
		v.options.Problem(p)
	}
}

// run checks all of it.
func (v *verifier) run(ctx context.Context) error {
	v.frames = newFrameChecker(ctx, v)
	err := v.layout(ctx)
	if wrong := v.list.end(); err == nil && wrong != "" {
		v.result.List = wrong
	}
	if err == nil {
		err = v.ending()
	}
	return v.frames.wait(err)
}

// wrong tells of something that is wrong with the layout. It is told in order, when the frames before it are checked.
func (v *verifier) wrong(offset, length int64, format string, args ...any) error {
	return v.frames.submit(&checkJob{told: &Problem{Offset: offset, Length: length, Err: fmt.Sprintf(format, args...)}})
}

// layout goes through head, frames and records of the index, up to the directory.
func (v *verifier) layout(ctx context.Context) error {
	if err := v.head(); err != nil {
		return err
	}
	var block index.Block
	for i := range v.archive.blocks {
		ref := &v.archive.blocks[i]
		if err := v.advance(ref.Data); err != nil {
			return err
		}
		err := v.archive.ReadBlock(i, &block)
		if isDamage(err) {
			err = v.loseBlock(ctx, i, err)
		} else if err == nil {
			err = v.block(ref, &block)
		}
		if err != nil {
			return err
		}
	}
	return v.advance(v.archive.directory.Offset)
}

// loseBlock goes on after a block of the index that is damaged.
func (v *verifier) loseBlock(ctx context.Context, i int, why error) error {
	ref := &v.archive.blocks[i]
	v.blind = true
	v.list.list = nil
	v.stream.lose()
	v.cursor = ref.Data + ref.Stored
	var b index.Block
	if err := v.archive.ScanBlock(ctx, i, &b); err != nil {
		return err
	}
	if err := v.wrong(ref.Offset, ref.Length, "%v: of the %d entries from %q on, %d are found by reading their frames",
		why, ref.Entries, ref.First, len(b.Entries)); err != nil {
		return err
	}
	offset := ref.Data
	for _, f := range b.Frames {
		if IsLost(f) {
			if err := v.wrong(offset, f.Stored, "a frame can't be read, and the index of it is damaged"); err != nil {
				return err
			}
		}
		offset += f.Stored
	}
	return nil
}

// block checks the frames of a block of the index.
func (v *verifier) block(ref *index.BlockRef, b *index.Block) error {
	source := slices.IndexFunc(v.counted.Sources, func(s SourceSummary) bool { return s.Name == ref.Source })
	if source < 0 {
		v.blind = true
		if err := v.wrong(ref.Offset, ref.Length, "source %q is not in the summary", ref.Source); err != nil {
			return err
		}
	}
	if err := v.listed(b.Entries); err != nil {
		return err
	}
	first := 0
	for _, f := range b.Frames {
		entries := b.Entries[first : first+f.Entries]
		first += f.Entries
		if source >= 0 {
			for i := range entries {
				v.counted.add(source, &entries[i])
				v.counted.addBytes(source, entries[i].Data)
			}
		}
		if err := v.frame(f, entries); err != nil {
			return err
		}
	}
	return nil
}

// frame checks one frame, which begins at the cursor.
func (v *verifier) frame(f index.Frame, entries []index.Entry) error {
	j := &checkJob{offset: v.cursor, frame: f, entries: slices.Clone(entries)}
	for _, wrong := range v.stream.follow(j) {
		if err := v.wrong(v.cursor, f.Stored, "%s", wrong); err != nil {
			return err
		}
	}
	v.seek.add(f.Stored, f.Content)
	v.cursor += f.Stored
	v.counted.BytesTar += f.Content
	for i := range entries {
		if v.flaws.isFlawed(&entries[i]) && v.options.Flawed != nil {
			v.options.Flawed(entries[i].Path)
		}
	}
	v.result.Frames++
	v.result.Entries += int64(len(entries))
	for i := range entries {
		if entries[i].Type == index.Regular {
			v.result.Files++
		}
	}
	return v.frames.submit(j)
}
