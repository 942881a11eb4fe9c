// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
	"golang.org/x/sys/unix"
)

// temporaryPrefix begins the names of files that aren't complete. A restore removes what it finds under such names in
// the directories that it writes to: another one was interrupted.
const temporaryPrefix = ".backup-operator-restore."

var (
	// errDiffers means that something else stands under a name.
	errDiffers = errors.New("something else is there, and is left alone")
	// errContent means that content isn't what was archived.
	errContent = errors.New("its content isn't what was archived")
)

// standing is what is under an entry's name already.
type standing int

const (
	absent   standing = iota // nothing, or it is to be replaced
	alike                    // a file that looks the same
	replaced                 // something that is to be replaced
)

// temporaryNames gives names for what isn't complete.
type temporaryNames struct {
	token string // tells this restore's from others'
	count atomic.Int64
}

func newTemporaryNames() *temporaryNames {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return &temporaryNames{token: hex.EncodeToString(random[:])}
}

func (n *temporaryNames) next() string {
	return temporaryPrefix + n.token + "." + strconv.FormatInt(n.count.Add(1), 10)
}

// isTemporary tells whether a name is one of these, of any restore.
func isTemporary(name string) bool {
	rest, ours := strings.CutPrefix(name, temporaryPrefix)
	token, number, ok := strings.Cut(rest, ".")
	number, _, _ = strings.Cut(number, "-") // as measureFolding names them
	_, notHex := strconv.ParseUint(token, 16, 32)
	_, notNumber := strconv.ParseUint(number, 10, 63)
	return ours && ok && notHex == nil && notNumber == nil
}

// create makes a new file under a temporary name.
func (r *restorer) create(parent *directory) (fd int, name string, err error) {
	name = r.names.next()
	fd, err = openAt(parent.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	return fd, name, err
}

// place gives a complete file its name.
func place(parent *directory, temporary, name string, what standing) error {
	dir := parent.fd
	if what == replaced {
		return os.NewSyscallError("rename", retry(func() error { return unix.Renameat(dir, temporary, dir, name) }))
	}
	err := retry(func() error { return unix.Renameat2(dir, temporary, dir, name, unix.RENAME_NOREPLACE) })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// The file system can't do it in one step.
		if _, err = statAt(dir, name); errors.Is(err, unix.ENOENT) {
			err = retry(func() error { return unix.Renameat(dir, temporary, dir, name) })
		} else if err == nil {
			err = unix.EEXIST
		}
	}
	if errors.Is(err, unix.EEXIST) {
		return errDiffers
	}
	return os.NewSyscallError("rename", err)
}

// stands tells what is under a regular file's name.
func (r *restorer) stands(m *member) (standing, error) {
	if m.parent.made {
		return absent, nil
	}
	st, err := statAt(m.parent.fd, m.name)
	switch {
	case errors.Is(err, unix.ENOENT):
		return absent, nil
	case err != nil:
		return absent, os.NewSyscallError("stat", err)
	case r.clocks.looksLike(m.parent.fd, &st, &m.entry) && !r.anew:
		return alike, nil
	default:
		return r.mayReplace(&st, &m.entry)
	}
}

// looksLike tells whether what is there may be the entry's regular file, as far as one sees without reading it.
func (cs *clocks) looksLike(dir int, st *unix.Stat_t, e *index.Entry) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == e.Size && cs.agree(dir, st, e.ModTime)
}

// mayReplace tells whether what is there may be replaced by an entry that isn't a directory.
func (r *restorer) mayReplace(st *unix.Stat_t, e *index.Entry) (standing, error) {
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return absent, fmt.Errorf("%w: it is a directory", errDiffers)
	}
	return replaced, r.mayOverwrite(e)
}

// file restores a regular file whose data is in one frame.
func (r *restorer) file(m *member, header *tarstream.Header, data []byte) error {
	if sum := sha256.Sum256(data); !m.entry.HasHash(sum[:]) {
		return errContent
	}
	what, err := r.stands(m)
	if err != nil {
		return err
	}
	if what == alike {
		kept, err := r.keep(m, header, data)
		if kept || err != nil {
			return err
		}
		if err := r.mayOverwrite(&m.entry); err != nil {
			return err
		}
		what = replaced
	}
	fd, temporary, err := r.create(m.parent)
	if err != nil {
		return err
	}
	err = writeData(fd, header, data, 0)
	if err == nil && header.Sparse {
		err = os.NewSyscallError("truncate", retry(func() error { return unix.Ftruncate(fd, header.Size) }))
	}
	if err == nil {
		err = r.complete(m, header, fd, temporary, what)
	}
	_ = unix.Close(fd)
	if err != nil {
		_ = unix.Unlinkat(m.parent.fd, temporary, 0)
	}
	return err
}

// complete gives a file that is written its metadata and its name.
func (r *restorer) complete(m *member, header *tarstream.Header, fd int, temporary string, what standing) error {
	if err := r.describe(opened(fd), m.path, &m.entry, header, m.parent.inherits); err != nil {
		return err
	}
	if err := r.setTime(m.parent.fd, temporary, m.path, m.entry.ModTime, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if err := place(m.parent, temporary, m.name, what); err != nil {
		return err
	}
	r.done(m.path, &m.entry, false)
	return nil
}

// keep compares a file that looks the same with the data. If it is the same, it only gets its metadata.
func (r *restorer) keep(m *member, header *tarstream.Header, data []byte) (bool, error) {
	fd, before, err := openStanding(m.parent.fd, m.name)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	there := make([]byte, len(data))
	// What can't be read isn't the same.
	if readData(fd, header, there, 0) != nil || !bytes.Equal(there, data) || !r.emptyHoles(fd, header) {
		putBack(fd, before)
		return false, nil
	}
	return true, r.standAs(m, header, fd)
}

// standAs gives a file that is kept its metadata.
func (r *restorer) standAs(m *member, header *tarstream.Header, fd int) error {
	if err := r.describe(opened(fd), m.path, &m.entry, header, true); err != nil {
		return err
	}
	if err := r.setTime(m.parent.fd, m.name, m.path, m.entry.ModTime, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	r.done(m.path, &m.entry, true)
	return nil
}

// writeData writes a file's data from an offset on, counted without holes, to where it belongs.
func writeData(fd int, header *tarstream.Header, data []byte, offset int64) error {
	for len(data) > 0 {
		at, n := header.Place(offset, int64(len(data)))
		if n <= 0 {
			return fmt.Errorf("%w: a file has more data than its size", ErrMalformed)
		}
		if err := writeAt(fd, data[:n], at); err != nil {
			return err
		}
		data, offset = data[n:], offset+n
	}
	return nil
}

// readData reads it back.
func readData(fd int, header *tarstream.Header, data []byte, offset int64) error {
	for len(data) > 0 {
		at, n := header.Place(offset, int64(len(data)))
		if n <= 0 {
			return fmt.Errorf("%w: a file has more data than its size", ErrMalformed)
		}
		if err := readAt(fd, data[:n], at); err != nil {
			return err
		}
		data, offset = data[n:], offset+n
	}
	return nil
}
