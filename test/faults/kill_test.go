// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/catalog"
	"appliance.io/backup-operator/internal/report"
)

// kills is how often the program is killed, by several policies at once.
const (
	kills       = 200
	terms       = 60
	workers     = 4
	filesInTree = 60
	fileSize    = 32 << 10
)

// newRandom is seeded with FAULTS_SEED, if that is set, so that a failure can be looked into. What the seed decides is
// when a signal is sent; where the program is then is still up to the machine.
func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("FAULTS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("FAULTS_SEED: %v", err)
		}
	}
	t.Logf("FAULTS_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// typical is how long a run takes here and now.
func (b *bench) typical() time.Duration {
	b.t.Helper()
	began := time.Now()
	b.run(0)
	return time.Since(began)
}

// hit starts a run and sends it a signal after a time, then waits for its end. It returns the exit status, -1 if the
// signal ended it.
func (b *bench) hit(after time.Duration, signal syscall.Signal) (int, string) {
	b.t.Helper()
	b.must(removeIfThere(b.reportFile))
	cmd := b.command()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	b.must(cmd.Start())
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Signal(signal) })
	err := cmd.Wait()
	timer.Stop()
	return exitStatus(err), out.String()
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// state is what must not get less.
type state struct{ here, mirror int }

func (b *bench) state() state { return state{len(b.good(b.backups)), len(b.good(b.mirror))} }

// notFewer fails the test if there are fewer good archives than before. One that a killed run left beyond the number
// to keep may go.
func (b *bench) notFewer(before, after state) {
	b.t.Helper()
	if after.here < min(before.here, b.keep) || after.mirror < min(before.mirror, b.keep) {
		b.t.Fatalf("fewer good archives than before: %+v, then %+v", before, after)
	}
}

// lockIsFree fails the test if a lock was left. An rsync that is dying may hold the mirror's for a moment, and a child that
// was being started when its parent was killed all locks: until it has become rsync, which takes its time at the lowest
// priority beside others.
func (b *bench) lockIsFree(dir string) {
	b.t.Helper()
	if _, err := os.Stat(dir); err != nil {
		return
	}
	lock, err := catalog.AcquireLock(b.t.Context(), dir, b.prefix, catalog.LockRequest{Holder: "the test", Timeout: time.Minute})
	b.must(err)
	b.must(lock.Release())
}

// among runs a function in several benches at once.
func among(t *testing.T, total int, do func(t *testing.T, b *bench, rng *rand.Rand, rounds int)) {
	for i := range workers {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.fill(filesInTree, fileSize)
			do(t, b, newRandom(t), total/workers)
		})
	}
}

func TestKilledAtAnyMoment(t *testing.T) {
	var killed, partials, reused atomic.Int64
	t.Run("workers", func(t *testing.T) {
		among(t, kills, func(t *testing.T, b *bench, rng *rand.Rand, rounds int) {
			typical := b.typical()
			for range rounds {
				before := b.state()
				b.change(rng, filesInTree)
				after := time.Duration(rng.Float64() * 1.1 * float64(typical))
				if status, _ := b.hit(after, syscall.SIGKILL); status == -1 {
					killed.Add(1)
				}
				if len(b.leftovers(b.backups))+len(b.leftovers(b.mirror)) > 0 {
					partials.Add(1)
				}
				b.notFewer(before, b.state())
				b.lockIsFree(b.backups)
				b.lockIsFree(b.mirror)

				began := time.Now()
				r := b.run(0)
				typical = (3*typical + time.Since(began)) / 4
				reused.Add(min(r.Archive.Reuse.ReusedBytes, 1))
				b.holdsTheSource(r.Archive.Name)
				if left := append(b.leftovers(b.backups), b.leftovers(b.mirror)...); len(left) > 0 {
					t.Fatalf("the next run left %q", left)
				}
				if got := b.state(); got != (state{min(before.here+1, b.keep), min(before.mirror+1, b.keep)}) && before.here >= b.keep {
					t.Fatalf("after the next run there are %+v", got)
				}
			}
		})
	})
	t.Logf("%d of %d runs were killed before their end, %d of them left something unfinished; %d of the runs after them reused "+
		"an archive", killed.Load(), kills, partials.Load(), reused.Load())
	if reused.Load() < kills/2 {
		t.Error("too few runs reused anything: this tested something else")
	}
	if killed.Load() < kills/2 || partials.Load() < kills/20 {
		t.Error("too few kills hit a run at work: this tested nothing")
	}
}

func TestToldToStopAtAnyMoment(t *testing.T) {
	var interrupted atomic.Int64
	t.Run("workers", func(t *testing.T) {
		among(t, terms, func(t *testing.T, b *bench, rng *rand.Rand, rounds int) {
			typical := b.typical()
			for range rounds {
				before := b.state()
				after := time.Duration(rng.Float64() * 1.1 * float64(typical))
				status, out := b.hit(after, syscall.SIGTERM)
				b.notFewer(before, b.state())
				if left := append(b.leftovers(b.backups), b.leftovers(b.mirror)...); len(left) > 0 {
					t.Fatalf("left %q\n%s", left, out)
				}
				switch status {
				case 0: // It was done by then.
				case -1: // It hadn't begun.
					if out != "" {
						t.Fatalf("the signal ended a run at work:\n%s", out)
					}
				case 1:
					interrupted.Add(1)
					if r := b.report(); r.Outcome != report.Failed || r.Reason != report.ReasonInterrupted {
						t.Fatalf("reported %s, %s: %s", r.Outcome, r.Reason, r.Message)
					}
				default:
					t.Fatalf("exit status %d\n%s", status, out)
				}
			}
			b.run(0)
		})
	})
	t.Logf("%d of %d runs were interrupted", interrupted.Load(), terms)
	if interrupted.Load() < terms/10 {
		t.Error("too few signals hit a run at work: this tested nothing")
	}
}
