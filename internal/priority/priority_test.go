// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package priority

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// roleVariable makes this program do something else than run the tests.
const roleVariable = "PRIORITY_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "parent":
		lowered()
	case "child":
		report("child")
	default:
		os.Exit(m.Run())
	}
}

// lowered lowers its priority while it starts threads, reports of them all, and starts a child that does as well.
func lowered() {
	const threads = 50
	var started sync.WaitGroup
	started.Add(threads)
	for range threads {
		go func() {
			runtime.LockOSThread()
			started.Done()
			select {}
		}()
	}
	if err := Lower(); err != nil {
		fmt.Println(err)
	}
	started.Wait()
	report("parent")
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), roleVariable+"=child")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Run(); err != nil {
		fmt.Println(err)
	}
}

// report prints what the kernel says of each thread of this process.
func report(who string) {
	stats, _ := filepath.Glob("/proc/self/task/*/stat")
	for _, file := range stats {
		stat, _ := os.ReadFile(file)
		_, rest, _ := strings.Cut(string(stat), ") ") // the name before may hold anything
		fields := strings.Fields(rest)                // from the third on
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		io, _, _ := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, uintptr(id), 0)
		level := io & 7
		if io>>ioprioClassShift != ioprioClassBest {
			level = 0 // means nothing
		}
		fmt.Printf("%s nice %s policy %s io %d/%d\n", who, fields[19-3], fields[41-3], io>>ioprioClassShift, level)
	}
	status, _ := os.ReadFile("/proc/self/status")
	_, capabilities, _ := strings.Cut(string(status), "CapEff:\t")
	fmt.Printf("%s may %s\n", who, capabilities[:16])
}

// run runs this program in the role of the parent behind other programs, and counts the lines that it prints.
func run(t *testing.T, before ...string) map[string]int {
	t.Helper()
	command := append(before, "/proc/self/exe")
	if len(before) > 0 {
		command[len(before)] = os.Args[0]
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"=parent")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", command, err, out)
	}
	lines := map[string]int{}
	for line := range strings.Lines(string(out)) {
		lines[strings.TrimSpace(line)]++
	}
	return lines
}

// kinds are the lines without how often they were printed.
func kinds(lines map[string]int) map[string]bool {
	k := map[string]bool{}
	for line := range lines {
		k[line] = true
	}
	return k
}

const lowest = "nice 19 policy 3 io 2/7"

func TestAllThreadsAndChildrenAreLowered(t *testing.T) {
	lines := run(t, withoutCapabilities()...)
	if n := lines["parent "+lowest]; n < 50 {
		t.Errorf("only %d of the parent's threads were told of", n)
	}
	none := "may 0000000000000000"
	want := map[string]bool{"parent " + lowest: true, "child " + lowest: true, "parent " + none: true, "child " + none: true}
	if diff := cmp.Diff(want, kinds(lines)); diff != "" {
		t.Errorf("what was printed (-want +got):\n%s", diff)
	}
}

// withoutCapabilities is a command that runs another one as it would run in a container that has none.
func withoutCapabilities() []string {
	if os.Geteuid() != 0 {
		return nil // has none
	}
	return []string{"setpriv", "--bounding-set=-all", "--inh-caps=-all"}
}

func TestWhatSomebodyHasChosenStays(t *testing.T) {
	for name, c := range map[string]struct {
		before []string
		want   string
	}{
		"niceness":     {[]string{"nice", "-n", "5"}, "nice 5 policy 3 io 2/7"},
		"policy":       {[]string{"chrt", "--idle", "0"}, "nice 19 policy 5 io 2/7"},
		"I/O priority": {[]string{"ionice", "-c", "idle"}, "nice 19 policy 3 io 3/0"},
		"I/O level":    {[]string{"ionice", "-c", "best-effort", "-n", "3"}, "nice 19 policy 3 io 2/3"},
	} {
		t.Run(name, func(t *testing.T) {
			lines := run(t, c.before...)
			for line := range lines {
				if who, what, _ := strings.Cut(line, " "); !strings.HasPrefix(what, "may ") && what != c.want {
					t.Errorf("%s: %s, want %s", who, what, c.want)
				}
			}
		})
	}
}

func TestFailures(t *testing.T) {
	changed, err := lowerAll([]os.DirEntry{entry("0x")})
	if err == nil || changed {
		t.Errorf("changed %t, error %v", changed, err)
	}
	if _, err := lowerAll([]os.DirEntry{entry("4194305")}); err != nil {
		t.Errorf("a thread that has ended: %v", err)
	}
}

// entry is a directory entry of which only the name counts.
type entry string

func (e entry) Name() string             { return string(e) }
func (entry) IsDir() bool                { return true }
func (entry) Type() os.FileMode          { return os.ModeDir }
func (entry) Info() (os.FileInfo, error) { return nil, os.ErrNotExist }
