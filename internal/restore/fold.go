// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Some file systems take different names for the same: all of FAT, exFAT and NTFS, most shares of CIFS, and directories of
// ext4 that are marked so. A second name would replace what a restore has just written under the first. So in such
// directories each name is claimed by the first entry that has it, and further ones are named and not restored.

// folding is which names a directory takes for the same.
type folding uint8

const (
	foldsCase     folding = 1 << iota // one letter for one
	foldsFully                        // also the sharp s for ss
	foldsAccents                      // letters with accents, in one character or two
	foldsNothings                     // characters that aren't seen
	foldsDots                         // dots at the end
)

// foldings are pairs of names by what they have in common.
var foldings = map[folding][2]string{
	foldsCase: {"k", "K"}, foldsFully: {"\u00df", "ss"}, foldsAccents: {"\u00e9", "e\u0301"}, foldsNothings: {"a\u00adb", "ab"},
	foldsDots: {"a.", "a"},
}

// key is the same for all names that are the same.
func (f folding) key(name string) string {
	if f == 0 || !utf8.ValidString(name) {
		return name
	}
	if f&foldsNothings != 0 {
		name = strings.Map(func(r rune) rune {
			if unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
				return -1
			}
			return r
		}, name)
	}
	if f&foldsAccents != 0 {
		name = norm.NFD.String(name)
	}
	switch {
	case f&foldsFully != 0:
		name = cases.Fold().String(name)
	case f&foldsCase != 0:
		name = strings.Map(func(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }, name)
	}
	if f&foldsAccents != 0 {
		name = norm.NFD.String(name) // Folding may have composed some.
	}
	if f&foldsDots != 0 {
		name = strings.TrimRight(name, ".")
	}
	return name
}

// foldingKey is what a directory's folding depends on: its file system and, where each directory has its own, its mark.
type foldingKey struct {
	device uint64
	marked bool
}

// casefoldFlag is FS_CASEFOLD_FL of linux/fs.h.
const casefoldFlag = 0x40000000

// foldingOf finds out which names a directory takes for the same. Where nothing can be made, nothing can be replaced.
func (r *restorer) foldingOf(dir int) folding {
	st, err := statAt(dir, ".")
	if err != nil {
		return 0
	}
	flags, _ := unix.IoctlGetUint32(dir, unix.FS_IOC_GETFLAGS) // File systems without flags have no marks.
	key := foldingKey{uint64(st.Dev), flags&casefoldFlag != 0}
	f, ok := r.foldings[key]
	if !ok {
		f = measureFolding(dir, r.names)
		r.foldings[key] = f
	}
	return f
}

// measureFolding finds it out with files that are there for a moment.
func measureFolding(dir int, names *temporaryNames) (f folding) {
	_ = leavingTime(dir, func() error {
		for bit, pair := range foldings {
			name := names.next() + "-"
			fd, err := openAt(dir, name+pair[0], unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
			if err != nil {
				continue // A name that can't be there is no other's.
			}
			if _, err := statAt(dir, name+pair[1]); err == nil {
				f |= bit
			}
			_, _ = unix.Close(fd), unix.Unlinkat(dir, name+pair[0], 0)
		}
		return nil
	})
	return f
}

// leavingTime does something to a directory that leaves it as it was, and its time of modification too.
func leavingTime(dir int, do func() error) error {
	before, err := statAt(dir, ".")
	if err == nil {
		err = do()
		_ = setModTime(dir, ".", modTime(&before), 0)
	}
	return err
}

// admit claims a name in the directory for an entry. It returns why the entry can't be restored: another one has a name
// that is the same here, or the directory itself isn't restored.
func (d *directory) admit(name string) error {
	if d.refused != nil || d.folds == 0 {
		return d.refused
	}
	key := d.folds.key(name)
	if first, ok := d.claimed[key]; ok && first != name {
		return fmt.Errorf("the target takes its name for the same as that of %q, which is restored", d.path+"/"+first)
	}
	if d.claimed == nil {
		d.claimed = map[string]string{}
	}
	d.claimed[key] = name
	return nil
}

// refused names an entry that can't be restored, if there is a reason, and reports whether that is so.
func (p *planner) refused(path string, reason error) bool {
	if reason != nil {
		p.r.ledger.note(path, Failed, reason)
	}
	return reason != nil
}

// refuse gives a directory that isn't restored, for a reason, with all that is in it. The caller has one use of it.
func (r *restorer) refuse(parent *directory, path string, reason error) *directory {
	d := &directory{r: r, parent: parent.use(), path: path, fd: -1, refused: reason}
	d.uses.Store(1)
	return d
}

// hasOtherName reports whether what stands under a name has another one that the directory takes for the same. Whether
// that is in the way shows when it is restored.
func (s *step) hasOtherName(name string) bool {
	if isASCII(name) && !strings.HasSuffix(name, ".") {
		swapped := strings.Map(swapCase, name)
		if _, err := statAt(s.fd, swapped); swapped == name || errors.Is(err, unix.ENOENT) {
			return false // Most directories tell them apart.
		}
	}
	if s.names == nil {
		fd, err := openAt(s.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return false
		}
		defer unix.Close(fd)
		s.names = map[string]bool{}
		if err := eachName(fd, func(name string) { s.names[name] = true }); err != nil {
			s.names = nil
			return false
		}
	}
	return !s.names[name]
}

func swapCase(r rune) rune {
	if unicode.IsUpper(r) {
		return unicode.ToLower(r)
	}
	return unicode.ToUpper(r)
}

func isASCII(name string) bool {
	return strings.IndexFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
