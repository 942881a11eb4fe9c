// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package archive

// Reuse says what became of the data that the previous archive and this one have in common.
type Reuse struct {
	// Previous is the base name of the archive that frames were taken over from; empty if there was none that could be
	// used: none was given, or it has another format or level, no index, or no end.
	Previous string `json:"previous,omitempty"`
	// Method is how they were taken over, one of the constants MethodReflink, MethodServerCopy and MethodCopy; empty
	// without Previous.
	Method string `json:"method,omitempty"`
	// ReusedBytes is the number of stored bytes that were taken over.
	ReusedBytes int64 `json:"reusedBytes"`
	// SharedBytes is how many of those occupy no space of their own, for both archives share it.
	SharedBytes int64 `json:"sharedBytes"`
	// NewBytes is the number of stored bytes that were made from the sources, without head, index and summary.
	NewBytes int64 `json:"newBytes"`
	// VerifiedBytes is the number of stored bytes of the previous archive that were read and found to be as they were
	// written.
	VerifiedBytes int64 `json:"verifiedBytes"`
	// DamagedFrames is the number of frames of the previous archive that weren't. What is in them was made anew.
	DamagedFrames int64 `json:"damagedFrames"`
}

// add counts a frame that has been written.
func (r *Reuse) add(f *frame) {
	switch {
	case f.taken:
		r.ReusedBytes += f.info.Stored
	default:
		r.NewBytes += f.info.Stored
	}
	if f.checked {
		r.VerifiedBytes += f.old.Stored
	}
	if f.damaged {
		r.DamagedFrames++
	}
}

// noteFailure tells that the archive is made once more, without the previous one or a part of it.
func noteFailure(failed error, summary *Summary, warn func(Warning)) {
	kind := troubleKind(failed)
	summary.warn(kind)
	if warn != nil {
		warn(Warning{Path: ".", Kind: kind, Err: failed.Error() + "; the archive was made once more"})
	}
}
