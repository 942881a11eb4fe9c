// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain lets this program be run again as a process that takes a lock and holds it until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CATALOG_TEST_HOLD_LOCK"); dir != "" {
		lock, err := AcquireLock(context.Background(), dir, "app", LockRequest{Holder: "the other one"})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("locked")
		_, _ = io.Copy(io.Discard, os.Stdin) // Until it is killed, or the test has ended.
		runtime.KeepAlive(lock)
	}
	os.Exit(m.Run())
}

// holdLock starts another process that holds the lock.
func holdLock(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), "CATALOG_TEST_HOLD_LOCK="+dir)
	_, inErr := holder.StdinPipe()
	out, outErr := holder.StdoutPipe()
	if err := errors.Join(inErr, outErr, holder.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
	var word string
	if _, err := fmt.Fscanln(out, &word); err != nil || word != "locked" {
		t.Fatalf("the holder says %q, %v", word, err)
	}
	return holder
}

func TestAHeldLockIsWaitedForAndItsHolderIsNamed(t *testing.T) {
	dir := t.TempDir()
	holdLock(t, dir)
	_, err := AcquireLock(t.Context(), dir, "app", LockRequest{Holder: "me", Timeout: 20 * time.Millisecond})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "the other one") {
		t.Errorf("AcquireLock = %v", err)
	}
	other, err := AcquireLock(t.Context(), dir, "app-2", LockRequest{Holder: "me"})
	if err != nil {
		t.Fatalf("another prefix's lock: %v", err)
	}
	if err := other.Release(); err != nil {
		t.Error(err)
	}
}

func TestAKilledProcessLeavesNoLock(t *testing.T) {
	dir := t.TempDir()
	holder := holdLock(t, dir)
	got := make(chan error)
	go func() {
		lock, err := AcquireLock(t.Context(), dir, "app", LockRequest{Holder: "me", Timeout: time.Minute})
		if err == nil {
			err = lock.Release()
		}
		got <- err
	}()
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	dir := t.TempDir()
	first, err := AcquireLock(t.Context(), dir, "app", LockRequest{Holder: "me"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	got := make(chan error)
	go func() {
		_, err := AcquireLock(ctx, dir, "app", LockRequest{Holder: "me", Timeout: time.Hour})
		got <- err
	}()
	cause := errors.New("enough")
	cancel(cause)
	if err := <-got; !errors.Is(err, cause) {
		t.Errorf("AcquireLock = %v", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := AcquireLock(t.Context(), dir, "app", LockRequest{Holder: "me"})
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	_ = second.Release()
}

func TestALinkIsNotLocked(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	put(t, elsewhere+"/precious", "precious")
	if err := os.Symlink(elsewhere+"/precious", dir+"/.app.lock"); err != nil {
		t.Fatal(err)
	}
	if _, err := AcquireLock(t.Context(), dir, "app", LockRequest{Holder: "me"}); err == nil {
		t.Error("a link was followed")
	}
}
