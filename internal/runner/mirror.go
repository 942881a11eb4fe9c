// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"os"

	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// mirror is the rsync directory. It is usually on a remote file system, and one whose server is gone holds everyone who so
// much as looks at it, for good. So everything that touches it goes through look or do. When the mirror doesn't answer,
// nobody looks at it any more, and only the sync step fails.
type mirror struct {
	directory
	// lock is held from the sync step on.
	lock *catalog.Lock
	// owned says that the prefix is this policy's there.
	owned bool
	// complete says that everything that is to be there is there.
	complete bool
}

// newMirror returns the configured mirror, nil if there is none.
func newMirror(c *Config) *mirror {
	if c.RsyncDirectory == "" {
		return nil
	}
	return &mirror{directory: directory{place: place{"--rsync-directory", c.RsyncDirectory}, limit: c.AnswerTimeout}}
}

// reachable reports whether there is a mirror that can be looked at.
func (m *mirror) reachable() bool { return m != nil && m.silent == nil }

// fileNames are the names of all files in the mirror, as far as it can be read.
func (m *mirror) fileNames() map[string]bool {
	names := map[string]bool{}
	if m == nil {
		return names
	}
	entries, err := look(&m.directory, func() ([]os.DirEntry, error) { return os.ReadDir(m.path) })
	if err != nil {
		return names
	}
	for _, e := range entries {
		names[e.Name()] = true
	}
	return names
}

// release gives the lock back, if it is held. The end of the process does that for a mirror that doesn't answer.
func (m *mirror) release() error {
	if !m.reachable() || m.lock == nil {
		return nil
	}
	return m.do(m.lock.Release)
}

// checkMirror checks what can be known of the mirror before the archive is made. Only mistakes are errors: whatever else
// is wrong is for the sync step to say.
func (r *run) checkMirror(apart []place) error {
	m := r.mirror
	if err := m.probe(); err != nil {
		r.log.Warn("the mirror does not answer: this run makes its archive and leaves the mirror alone", "error", err)
		return nil
	}
	if err := m.do(func() error { return checkOverlap([]place{m.place}, apart) }); err != nil && m.reachable() {
		return settingsFault(report.ReasonInvalidSettings, err)
	}
	// Whose the mirror is must be known before an archive is made that could never be sent there.
	err := m.do(func() error { return catalog.CheckOwner(m.path, r.config.Prefix, r.config.Policy) })
	if err != nil && m.reachable() && !isFileError(err) {
		return ownerFault(m.flag, m.path, err)
	}
	return nil
}
