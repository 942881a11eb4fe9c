// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mounted is a file system where it is mounted: a line of mountinfo in proc(5).
type mounted struct {
	id      uint64
	root    string   // the directory in the file system that is mounted
	point   string   // where
	options []string // of the file system
}

// readMounts returns what is mounted where this process can see it.
func readMounts() ([]mounted, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMounts(f)
}

func parseMounts(r io.Reader) ([]mounted, error) {
	var all []mounted
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		// A number of optional fields ends in a dash; after it come type, source and options of the file system.
		fields := strings.Fields(lines.Text())
		dash := slices.Index(fields, "-")
		if dash < 6 || len(fields) < dash+4 {
			return nil, fmt.Errorf("mountinfo: %w: %q", fs.ErrInvalid, lines.Text())
		}
		id, err := strconv.ParseUint(fields[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("mountinfo: %w: %q", err, lines.Text())
		}
		root, point := unescape.Replace(fields[3]), unescape.Replace(fields[4])
		all = append(all, mounted{id, root, point, strings.Split(fields[dash+3], ",")})
	}
	return all, lines.Err()
}

// mountOptions returns the options of the file system that an open file is on; none if they can't be found.
func mountOptions(fd int) []string {
	m, _ := mountOf(fd)
	return m.options
}

// mountOf finds the mount that an open file is in; false if it can't be found.
func mountOf(fd int) (mounted, bool) {
	var s unix.Statx_t
	err := retry(func() error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &s) })
	if err != nil || s.Mask&unix.STATX_MNT_ID == 0 {
		return mounted{}, false
	}
	all, err := readMounts()
	if err != nil {
		return mounted{}, false
	}
	i := slices.IndexFunc(all, func(m mounted) bool { return m.id == s.Mnt_id })
	if i < 0 {
		return mounted{}, false
	}
	return all[i], true
}
