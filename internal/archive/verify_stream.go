// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"strings"

	"appliance.io/backup-operator/internal/archive/index"
	"appliance.io/backup-operator/internal/archive/tarstream"
)

// streamChecker follows the tar stream through the index: whether entries come in order, lie in their frames and are in
// directories.
type streamChecker struct {
	last        string   // the path of the entry before
	directories []string // in which it is, and itself if it is one
	complete    bool     // none of these is missing because a part of the index can't be read
	rest        int64    // how many bytes of it are in frames to come
	unsure      bool     // that isn't known
	ended       bool     // the end of the stream was there
	big         *bigCheck
	offset      int64 // of its data, what is done
}

// bigCheck is a file whose data is in several frames. It is hashed in order.
type bigCheck struct {
	entry  index.Entry
	hash   hash.Hash
	failed bool // a part of it is damaged, and that has been told
}

// lose goes on after a part of the index that can't be read.
func (s *streamChecker) lose() { *s = streamChecker{unsure: true, ended: s.ended} }

// follow goes on by one frame. It says what of it is what, and returns what is wrong with it.
func (s *streamChecker) follow(j *checkJob) []string {
	if len(j.entries) == 0 {
		return s.followRest(j)
	}
	var wrong []string
	if s.rest > 0 && !s.unsure {
		wrong = append(wrong, fmt.Sprintf("%q ends too early", s.last))
	}
	if s.ended {
		wrong = append(wrong, "entries come after the end of the tar stream")
	}
	s.big, s.rest = nil, 0
	at := int64(0)
	for i := range j.entries {
		e := &j.entries[i]
		if err := s.entry(e); err != nil {
			wrong = append(wrong, fmt.Sprintf("entry %q %v", e.Path, err))
			j.skip = true
		}
		j.at = append(j.at, at)
		end := at + tarstream.Span(e)
		if e.Headers < 0 || e.Data < 0 || at+e.Headers > j.frame.Content || end > j.frame.Content && i < len(j.entries)-1 {
			s.unsure, j.skip = true, true
			return append(wrong, fmt.Sprintf("entry %q is not in its frame", e.Path))
		}
		at = end
	}
	s.unsure = false
	if s.rest = at - j.frame.Content; s.rest < 0 {
		s.rest = 0
		return append(wrong, fmt.Sprintf("entry %q is followed by something that isn't in the index", s.last))
	}
	if s.rest > 0 {
		e := j.entries[len(j.entries)-1]
		s.big = &bigCheck{entry: e, hash: sha256.New()}
		s.offset = tarstream.Span(&e) - e.Headers - s.rest
		j.big = s.big
	}
	return wrong
}

// followRest goes on by a frame in which no entry begins.
func (s *streamChecker) followRest(j *checkJob) []string {
	switch {
	case s.unsure:
		// The frame goes on with something that isn't known, or ends the stream.
		s.ended, j.skip = s.ended || j.frame.Content == endOfTar, true
		return nil
	case s.rest == 0 && j.frame.Content == endOfTar && !s.ended:
		s.ended = true
		return nil
	case j.frame.Content > s.rest:
		j.skip = true
		return []string{fmt.Sprintf("entry %q is followed by something that isn't in the index", s.last)}
	}
	j.big = s.big
	j.length = max(0, min(j.frame.Content, s.big.entry.Data-s.offset))
	s.offset += j.frame.Content
	s.rest -= j.frame.Content
	j.last = s.rest == 0
	return nil
}

// endOfTar is the size of the two blocks of zeros that end a tar stream.
const endOfTar = 2 * blockSize

// entry checks one entry against those before it.
func (s *streamChecker) entry(e *index.Entry) error {
	if index.SourceOf(s.last) != index.SourceOf(e.Path) {
		s.last = ""
	}
	err := tarstream.Check(e, s.last)
	s.last = e.Path
	parent := e.Path[:max(0, strings.LastIndexByte(e.Path, '/'))]
	for n := len(s.directories); n > 0 && s.directories[n-1] != parent; n-- {
		s.directories = s.directories[:n-1]
	}
	if parent == "" {
		s.complete = true
	} else if err == nil && len(s.directories) == 0 && s.complete {
		err = errors.New("is in something that is not a directory")
	}
	if e.Type == index.Directory {
		s.directories = append(s.directories, e.Path)
	}
	return err
}

// checkEntries checks the entries of a frame against its content, and the content of the files that end in it.
func (j *checkJob) checkEntries(content []byte) {
	for i := range j.entries {
		e := &j.entries[i]
		data := content[j.at[i]+e.Headers:]
		header, err := tarstream.Parse(content[j.at[i] : j.at[i]+e.Headers])
		if err == nil {
			err = header.Agree(e)
		}
		continues := j.big != nil && i == len(j.entries)-1
		if err == nil && e.Type == index.Regular && !continues {
			err = checkData(e, data[:e.Data], data[e.Data:e.Data+tarstream.Padding(e.Data)])
		}
		if err != nil {
			j.wrong = append(j.wrong, Problem{
				Offset: j.offset, Length: j.frame.Stored, Paths: []string{e.Path}, Err: err.Error(),
			})
		}
		if continues {
			j.begun = data[:min(int64(len(data)), e.Data)]
		}
	}
}

// checkData checks a file's content and what fills its last block.
func checkData(e *index.Entry, data, padding []byte) error {
	if sha256.Sum256(data) != e.SHA256 {
		return errContent
	}
	if !isZero(padding) {
		return errPadding
	}
	return nil
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
