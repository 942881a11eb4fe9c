// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"os"
	"time"
)

// NoAnswerError means that the file system of a directory has not answered in time. It may still do so later.
type NoAnswerError struct {
	// Directory is where somebody waits for an answer.
	Directory string
	// Limit is how long it had to answer.
	Limit time.Duration
}

// Error names the directory and says what to do.
func (e *NoAnswerError) Error() string {
	return fmt.Sprintf("the file system of %s has not answered within %s: check that its server runs and can be reached, or "+
		"unmount it by force", e.Directory, e.Limit)
}

// Within returns what do returns, which looks at a directory. If do takes longer than the limit, Within returns a
// NoAnswerError and leaves it behind: no call into a file system that hangs can be interrupted, so the goroutine is lost
// until the file system answers. Therefore do may only change what nobody else uses. A limit of 0 waits forever.
func Within[T any](dir string, limit time.Duration, do func() (T, error)) (T, error) {
	if limit <= 0 {
		return do()
	}
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		value, err := do()
		answered <- answer{value, err}
	}()
	clock := time.NewTimer(limit)
	defer clock.Stop()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-clock.C:
		var none T
		return none, &NoAnswerError{Directory: dir, Limit: limit}
	}
}

// Probe returns nil when the file system of a directory answers within the limit, and a NoAnswerError otherwise. What it
// answers doesn't matter: whoever works there sees what is wrong.
func Probe(dir string, limit time.Duration) error {
	_, err := Within(dir, limit, func() (struct{}, error) {
		if _, err := os.Stat(dir); err == nil {
			_, _ = MeasureSpace(dir)
			if f, err := os.Open(dir); err == nil {
				_, _ = f.Readdirnames(1)
				_ = f.Close()
			}
		}
		return struct{}{}, nil
	})
	return err
}
