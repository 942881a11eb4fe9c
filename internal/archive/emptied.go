// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

// emptiedText says what is wrong with an emptied source.
const emptiedText = "there are no files in it, although the previous complete archive held some"

// noteEmptied looks at all sources when everything has been read, and warns of those that should hold files and don't.
// Where something couldn't be read, it isn't known that there is no file, and the archive is incomplete already.
func noteEmptied(sources []Source, unreadable []bool, summary *Summary, warn func(Warning)) {
	for i, source := range sources {
		part := &summary.Sources[i]
		if !source.HeldFiles || part.Files > 0 || unreadable[i] {
			continue
		}
		part.Emptied = true
		summary.warn(Emptied)
		if warn != nil {
			warn(Warning{Source: source.Name, Path: ".", Kind: Emptied, Err: emptiedText})
		}
	}
}

// Emptied returns the names of the sources that were found without files although they should hold some.
func (s Summary) Emptied() []string {
	var names []string
	for _, source := range s.Sources {
		if source.Emptied {
			names = append(names, source.Name)
		}
	}
	return names
}
