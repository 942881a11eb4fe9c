// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pagesCached counts the pages of a file's range that are in the page cache. cachestat is there since Linux 6.5, and
// containers' filters of system calls may not know it yet; mincore always was, but must map the file. Neither tells of
// files that one may not write to: cachestat fails, and mincore says that all of it is cached.
func pagesCached(fd int, offset, length int64) (int64, error) {
	var stat unix.Cachestat_t
	err := unix.Cachestat(uint(fd), &unix.CachestatRange{Off: uint64(offset), Len: uint64(length)}, &stat, 0)
	if err == nil {
		return int64(stat.Cache), nil
	}
	return pagesMapped(fd, offset, length)
}

// mapWindow is how much of a file is mapped at once, in bytes.
const mapWindow = 256 << 20

// pagesMapped counts them with mincore. The offset must be a page's.
func pagesMapped(fd int, offset, length int64) (int64, error) {
	cached := int64(0)
	for ; length > 0; offset, length = offset+mapWindow, length-mapWindow {
		n, err := pagesMappedAt(fd, offset, min(length, mapWindow))
		if err != nil {
			return 0, err
		}
		cached += n
	}
	return cached, nil
}

func pagesMappedAt(fd int, offset, length int64) (int64, error) {
	// The memory is never touched: no matter what becomes of the file meanwhile.
	memory, err := unix.Mmap(fd, offset, int(length), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Munmap(memory) }()
	page := os.Getpagesize()
	resident := make([]byte, (len(memory)+page-1)/page)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, //nolint:gosec // There is no function for it that would spare the pointers.
		uintptr(unsafe.Pointer(&memory[0])), uintptr(len(memory)), uintptr(unsafe.Pointer(&resident[0])))
	if errno != 0 {
		return 0, errno
	}
	cached := int64(0)
	for _, r := range resident {
		cached += int64(r & 1)
	}
	return cached, nil
}
