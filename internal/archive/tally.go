// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

// tally counts what a part of an archive holds.
type tally struct {
	entries, files, directories, symlinks, hardLinks, specials int64
	excluded                                                   int64
	bytes                                                      int64 // of content read
}

// add counts a part that came from one source.
func (s *Summary) add(source int, t *tally) {
	s.Entries += t.entries
	s.Files += t.files
	s.Directories += t.directories
	s.Symlinks += t.symlinks
	s.HardLinks += t.hardLinks
	s.Specials += t.specials
	s.Excluded += t.excluded
	s.BytesRead += t.bytes
	part := &s.Sources[source]
	part.Entries += t.entries
	part.Files += t.files
	part.Bytes += t.bytes
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
	case Skipped:
		s.Skipped++
	}
	s.Complete = s.Warnings.Shrank == 0 && s.Warnings.Unreadable == 0 && s.Warnings.Emptied == 0
}
