// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"io"
	"os"
)

// Write archives the sources into f, from f's current position (0 in an empty file) on. It never closes, renames or
// flushes f: that is the caller's.
//
// Trouble with single files is reported through opts.Warn and never ends the archive. An error means that f holds no
// archive: bad settings (ErrInvalidSource, ErrInvalidExclude, both before anything is written), f can't be written
// (errors.Is finds unix.ENOSPC and its like), or ctx is done (errors.Is finds its cause).
func Write(ctx context.Context, f *os.File, sources []Source, opts Options) (Result, error) {
	return Result{}, ErrInvalidSource
}

// Measure walks the sources and estimates the size of their archive by compressing a deterministic sample of their
// content. Files that can't be read are passed over in silence; Write reports them.
func Measure(ctx context.Context, sources []Source) (Measurement, error) {
	return Measurement{}, ErrInvalidSource
}

// ReadInfo reads what an archive says about itself from its head and tail alone. size is the size of the file. Errors
// are ErrNotArchive, ErrTruncated, ErrFutureFormat, or what r returned. With ErrTruncated and ErrFutureFormat,
// Info.Header is set as far as it could be read.
func ReadInfo(r io.ReaderAt, size int64) (Info, error) {
	return Info{}, ErrNotArchive
}
