// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package rsync

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// stalling returns a context that is done with ErrStalled when the function that it returns isn't called for as long as
// the timeout and the grace. The last function ends the watch.
func stalling(parent context.Context, timeout, grace time.Duration) (ctx context.Context, moved, end func()) {
	ctx, cancel := context.WithCancelCause(parent)
	if timeout <= 0 {
		return ctx, func() {}, func() { cancel(nil) }
	}
	clock := time.AfterFunc(timeout+grace, func() { cancel(fmt.Errorf("%w (the limit is %s)", ErrStalled, timeout)) })
	return ctx, func() { clock.Reset(timeout + grace) }, func() {
		clock.Stop()
		cancel(nil)
	}
}

// stopping stops a process group when a context is done.
type stopping struct {
	release    func() bool
	begun      chan struct{}
	kill, give *time.Timer
	// inVain is closed when the group was killed and should be gone.
	inVain chan struct{}
}

func stopWith(ctx context.Context, pid int, grace time.Duration) *stopping {
	s := &stopping{begun: make(chan struct{}), inVain: make(chan struct{})}
	s.release = context.AfterFunc(ctx, func() {
		defer close(s.begun)
		_ = syscall.Kill(-pid, syscall.SIGTERM)
		s.kill = time.AfterFunc(grace, func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
		s.give = time.AfterFunc(3*grace, func() { close(s.inVain) })
	})
	return s
}

// end ends the watch and reports whether the group was told to stop.
func (s *stopping) end() bool {
	if s.release() {
		return false
	}
	<-s.begun
	s.kill.Stop()
	s.give.Stop()
	return true
}
