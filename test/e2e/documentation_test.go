// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"appliance.io/backup-operator/internal/catalog"
)

// TestEveryDocumentedCommand runs the commands of the README and the docs as they are written, page by page, in the
// order in which a reader would: installation comes last, because it ends with the removal. hack/e2e.sh runs it by
// itself, after all other tests, against the release that it has installed with values of its own.
func TestEveryDocumentedCommand(t *testing.T) {
	r := newReader(t)
	pages := documentationPages(t)
	for _, page := range pages {
		for _, b := range consoleBlocks(t, page) {
			t.Run(fmt.Sprintf("%s:%d", page, b.line), func(t *testing.T) { r.run(t, b) })
		}
	}
	for _, e := range elsewhere {
		if !e.used {
			t.Errorf("no page has the command %q any more", e.command)
		}
	}
}

// elsewhere are commands that are run by something else than this test, each with what runs it.
var elsewhere = []*exception{
	{command: "make demo", by: "make fresh runs it on a new machine"},
	{command: "make test", by: ".ci/run"},
	{command: "make e2e", by: "this test is part of it"},
	{command: "make bench", by: "an hour of measuring; make test runs a small one"},
	{command: "make bench-scale", by: "half an hour of measuring; make test runs a small one"},
	{command: "make image", by: "hack/e2e.sh builds the image by the same script"},
	{command: "docker push", by: "there is no registry in the tests"},
	{command: "helm install", by: "hack/e2e.sh installs the chart with the image of the tests"},
	{command: "kubectl apply --server-side -k config/default", by: "hack/e2e.sh installs it before the chart"},
}

// exception is a command that is run by something else.
type exception struct {
	// command is what the command begins with, up to a space or its end.
	command string
	// by is what runs it.
	by   string
	used bool
}

func (e *exception) matches(command string) bool {
	rest, ok := strings.CutPrefix(command, e.command)
	return ok && (rest == "" || rest[0] == ' ')
}

// mayExitWith1 are commands that end with exit status 1 where nothing is wrong, each with what that means.
var mayExitWith1 = map[string]string{
	"kubectl auth can-i get secrets":                                               "the answer is no",
	"kubectl -n backup-operator-system logs deployment/backup-operator --previous": "the operator has not ended before",
	"kubectl -n backup-operator-system describe pods | grep":                       "no probe has failed",
	"kubectl -n backup-operator-system logs deployment/backup-operator --tail=200": "there are no errors in its log",
}

// tolerant is a command that may end with exit status 1 if it is one of mayExitWith1.
func tolerant(command string) string {
	for prefix := range mayExitWith1 {
		if strings.HasPrefix(command, prefix) {
			return "( " + command + " ) || [[ $? == 1 ]]"
		}
	}
	return command
}

// block is a fenced block of commands.
type block struct {
	page     string
	line     int
	commands []string
}

// documentationPages are the README and the pages in docs, the page on installation last.
func documentationPages(t *testing.T) []string {
	t.Helper()
	var pages []string
	for _, pattern := range []string{"README.md", "docs/*.md", "docs/runbooks/*.md"} {
		found, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			page, err := filepath.Rel(repository, path)
			if err != nil {
				t.Fatal(err)
			}
			pages = append(pages, page)
		}
	}
	const last = "docs/installation.md"
	i := slices.Index(pages, last)
	if i < 0 {
		t.Fatalf("there is no %s among %q", last, pages)
	}
	return append(slices.Delete(pages, i, i+1), last)
}

// repository is the checkout's root.
const repository = "../.."

// consoleBlocks are the page's blocks of the language console. A command begins with "$ " and continues while its lines end
// with a backslash; everything else is output.
func consoleBlocks(t *testing.T, page string) []block {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, page))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	inside, continues := false, false
	for i, line := range strings.Split(string(content), "\n") {
		fence := strings.TrimSpace(line)
		switch {
		case !inside && fence == "```console":
			inside = true
			blocks = append(blocks, block{page: page, line: i + 1})
			continue
		case inside && fence == "```":
			inside, continues = false, false
			continue
		case !inside:
			continue
		}
		commands := &blocks[len(blocks)-1].commands
		if continues {
			(*commands)[len(*commands)-1] += "\n" + line
		} else if command, ok := strings.CutPrefix(line, "$ "); ok {
			*commands = append(*commands, command)
		} else {
			continue
		}
		continues = strings.HasSuffix(line, `\`)
	}
	return blocks
}

// reader is somebody who follows the documentation.
type reader struct {
	a *appliance
	// dir is where all commands run. It holds what is in a checkout, and the appliance's volumes as `make demo` shows them.
	dir string
	env []string
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{a: documentedAppliance(t), dir: t.TempDir()}
	bin := filepath.Join(r.dir, ".bin")
	r.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "KUBECONFIG="+filepath.Join(r.dir, ".kubeconfig"))
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	command(t, "cp", "--recursive", filepath.Join(root, "config"), r.dir)
	for _, file := range []string{"config/samples/backuppolicy.yaml", "policy.yaml"} {
		if err := os.WriteFile(filepath.Join(r.dir, file), filledInSample(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"charts": filepath.Join(root, "charts"), "Makefile": filepath.Join(root, "Makefile"), ".bin/helm": os.Getenv("E2E_HELM"), "volumes": r.a.dir,
	} {
		path := filepath.Join(r.dir, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	command(t, "go", "build", "-o", filepath.Join(bin, "backup-operator"), repository)
	command(t, "cp", os.Getenv("KUBECONFIG"), filepath.Join(r.dir, ".kubeconfig"))
	command(t, "kubectl", "--kubeconfig", filepath.Join(r.dir, ".kubeconfig"), "config", "set-context", "--current", "--namespace=orbit")
	for _, page := range documentationPages(t) {
		r.writeManifests(t, page)
	}
	return r
}

// manifestName is the comment on the first line of a block that the docs name as a file.
var manifestName = regexp.MustCompile("(?m)^```yaml\n# ([a-z-]+\\.yaml)\n((?:.*\n)*?)```$")

// writeManifests writes the files that a page shows.
func (r *reader) writeManifests(t *testing.T, page string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, page))
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range manifestName.FindAllStringSubmatch(string(content), -1) {
		manifest := strings.ReplaceAll(match[2], "registry.example.com/backup-operator:v0.1.0", os.Getenv("E2E_IMAGE"))
		if err := os.WriteFile(filepath.Join(r.dir, match[1]), []byte(manifest), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs the commands of a block in one shell, which ends at the first that fails.
func (r *reader) run(t *testing.T, b block) {
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for _, c := range b.commands {
		if i := slices.IndexFunc(elsewhere, func(e *exception) bool { return e.matches(c) }); i >= 0 {
			elsewhere[i].used = true
			continue
		}
		c = r.concrete(t, c)
		fmt.Fprintf(&script, "echo %s\n%s\n", quote("$ "+c), tolerant(c))
	}
	shell := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	shell.Dir, shell.Env = r.dir, append(r.env, "BACKUP="+r.newestArchive(t))
	// What a page leaves running in the background ends with its block.
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.WaitDelay = time.Second
	output, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	shell.Stdout, shell.Stderr = output, output
	err = shell.Run()
	_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL)
	if err != nil {
		said, _ := os.ReadFile(output.Name())
		t.Errorf("%v\n%s", err, said)
	}
	// The next block starts in the same place, with the directories that the page's reader makes anew.
	for _, made := range []string{"restored", "restored-again"} {
		if err := os.RemoveAll(filepath.Join(r.dir, made)); err != nil {
			t.Error(err)
		}
	}
}

// quote makes one word of a text for the shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

var (
	documentedArchive = regexp.MustCompile(`appliance-\d{8}T\d{6}Z\.tar\.zst`)
	documentedJob     = regexp.MustCompile(`appliance-(backup-\d{8}|now-[0-9a-f]{10})\b`)
	documentedPlace   = regexp.MustCompile(`(\s|=)/(backup/daily|restored|mnt/config)\b`)
)

// concrete puts what is there in the place of what the docs have as examples: archives, Jobs, directories, the image.
func (r *reader) concrete(t *testing.T, command string) string {
	t.Helper()
	command = documentedArchive.ReplaceAllLiteralString(command, filepath.Base(r.newestArchive(t)))
	if documentedJob.MatchString(command) {
		command = documentedJob.ReplaceAllLiteralString(command, r.newestJob(t))
	}
	command = documentedPlace.ReplaceAllStringFunc(command, func(found string) string {
		return found[:1] + strings.Replace(filepath.Join(r.dir, found[1:]), "/backup/daily", "/volumes/backups/daily", 1)
	})
	return strings.ReplaceAll(command, "image.tag=v0.2.0", "image.tag="+imageTag())
}

// imageTag is the tag of the image that is being tested.
func imageTag() string {
	image := os.Getenv("E2E_IMAGE")
	return image[strings.LastIndex(image, ":")+1:]
}

// newestArchive is the path of the backup that was made last.
func (r *reader) newestArchive(t *testing.T) string {
	t.Helper()
	backups, err := catalog.List(r.a.path("backups", "daily"), "appliance", time.Now())
	if err != nil || len(backups) == 0 {
		t.Fatalf("there are no backups: %v", err)
	}
	return r.a.path("backups", "daily", backups[0].File)
}

// newestJob is the newest run that succeeded and whose Job is still there.
func (r *reader) newestJob(t *testing.T) string {
	t.Helper()
	jobs := strings.Fields(kubectl(t, "-n", r.a.namespace, "get", "jobs", "--sort-by=.metadata.creationTimestamp",
		"-o", "jsonpath={.items[?(@.status.succeeded==1)].metadata.name}"))
	if len(jobs) == 0 {
		t.Fatal("there is no Job of a run that succeeded")
	}
	return jobs[len(jobs)-1]
}
