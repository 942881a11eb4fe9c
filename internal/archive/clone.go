// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
	"io"
	"os"

	"appliance.io/backup-operator/internal/archive/index"
	"golang.org/x/sys/unix"
)

// Ways in which stored bytes of the previous archive get into the new one. See Reuse.Method.
const (
	// MethodReflink: both archives share the blocks on disk (FICLONERANGE). It takes no space and hardly any time.
	MethodReflink = "reflink"
	// MethodServerCopy: a network file system's server copies (copy_file_range). Nothing crosses the network.
	MethodServerCopy = "serverCopy"
	// MethodCopy: they are read and written, and checked on the way.
	MethodCopy = "copy"
)

// span is a range of the previous archive and where it goes in the new one.
type span struct{ from, to, length int64 }

// findMethod tries how a range of src can get into dst, of which size bytes are written. It leaves dst as it was.
func findMethod(dst, src *os.File, size int64) (string, error) {
	probe := span{from: 0, to: size, length: index.Alignment}
	var method string
	switch {
	case reflink(dst, src, probe) == nil:
		method = MethodReflink
	case isRemote(dst) && serverCopy(dst, src, probe) == nil:
		method = MethodServerCopy
	default:
		return MethodCopy, nil
	}
	if err := dst.Truncate(size); err != nil {
		return "", fmt.Errorf("write archive: %w", err)
	}
	return method, nil
}

// isRemote tells whether a file is on a file system whose server may copy by itself.
func isRemote(f *os.File) bool {
	var s unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(int(f.Fd()), &s) }); err != nil {
		return false
	}
	switch uint32(s.Type) {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC,
		unix.OCFS2_SUPER_MAGIC:
		return true
	}
	return false
}

// reflink makes dst share the range with src.
func reflink(dst, src *os.File, s span) error {
	r := unix.FileCloneRange{
		Src_fd: int64(src.Fd()), Src_offset: uint64(s.from), Src_length: uint64(s.length), Dest_offset: uint64(s.to),
	}
	return retry(func() error { return unix.IoctlFileCloneRange(int(dst.Fd()), &r) })
}

// serverCopy copies the range within the kernel or on the server.
func serverCopy(dst, src *os.File, s span) error {
	for s.length > 0 {
		n := 0
		err := retry(func() (err error) {
			from, to := s.from, s.to
			n, err = unix.CopyFileRange(int(src.Fd()), &from, int(dst.Fd()), &to, int(s.length), 0)
			return err
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		s.from, s.to, s.length = s.from+int64(n), s.to+int64(n), s.length-int64(n)
	}
	return nil
}

// plainCopy reads and writes the range. What can't be read is errPrevious's fault.
func plainCopy(dst, src *os.File, s span) error {
	buf := make([]byte, min(s.length, 1<<20))
	for s.length > 0 {
		n := min(s.length, int64(len(buf)))
		if _, err := src.ReadAt(buf[:n], s.from); err != nil {
			return fmt.Errorf("%w: read %d bytes at %d: %w", errPrevious, n, s.from, err)
		}
		if _, err := dst.WriteAt(buf[:n], s.to); err != nil {
			return err
		}
		s.from, s.to, s.length = s.from+n, s.to+n, s.length-n
	}
	return nil
}

// transfer gets a range into dst by a method, or by the plain one where that fails, for whatever reason: a file system
// may refuse a single range. It returns the method that did it.
func transfer(dst, src *os.File, s span, method string) (string, error) {
	var err error
	switch method {
	case MethodReflink:
		err = reflink(dst, src, s)
	case MethodServerCopy:
		err = serverCopy(dst, src, s)
	default:
		err = errors.ErrUnsupported
	}
	if err == nil {
		return method, nil
	}
	return MethodCopy, plainCopy(dst, src, s)
}
