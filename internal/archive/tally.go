// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import "appliance.io/backup-operator/internal/archive/index"

// add counts an entry of a source.
func (s *Summary) add(source int, e *index.Entry) {
	part := &s.Sources[source]
	s.Entries++
	part.Entries++
	switch e.Type {
	case index.Regular:
		s.Files++
		part.Files++
	case index.Directory:
		s.Directories++
	case index.Symlink:
		s.Symlinks++
	case index.HardLink:
		s.HardLinks++
	default:
		s.Specials++
	}
}

// addBytes counts content of a source's files.
func (s *Summary) addBytes(source int, n int64) {
	s.BytesRead += n
	s.Sources[source].Bytes += n
}

// warn counts one warning.
func (s *Summary) warn(kind WarningKind) {
	switch kind {
	case Changed:
		s.Warnings.Changed++
	case Grew:
		s.Warnings.Grew++
	case Shrank:
		s.Warnings.Shrank++
	case Vanished:
		s.Warnings.Vanished++
	case Unreadable:
		s.Warnings.Unreadable++
	case Itself:
		s.Warnings.Itself++
	case Destination:
		s.Warnings.Destination++
	case Emptied:
		s.Warnings.Emptied++
	case Damaged:
		s.Warnings.Damaged++
	case NotReused:
		s.Warnings.NotReused++
	case Skipped:
		s.Skipped++
	}
	s.Complete = s.Warnings.Shrank == 0 && s.Warnings.Unreadable == 0 && s.Warnings.Emptied == 0
}
