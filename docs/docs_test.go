// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package docs_test holds the documentation against the code: what can be said, set and linked must be there.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"appliance.io/backup-operator/api/v1alpha1"
)

// TestEveryReasonHasItsEntry compares the headings of the page on troubleshooting with the constants in the code.
func TestEveryReasonHasItsEntry(t *testing.T) {
	reasons := slices.Concat(
		constants(t, "../api/v1alpha1/conditions.go", "Reason"), constants(t, "../internal/report/report.go", "Reason"),
		constants(t, "../internal/report/report.go", "Finding"))
	if len(reasons) < 20 {
		t.Fatalf("only %d reasons found in the code: %q", len(reasons), reasons)
	}
	entries := submatches(`(?m)^### (\w+)$`, read(t, "troubleshooting.md"))
	for _, reason := range reasons {
		if !slices.Contains(entries, reason) {
			t.Errorf("troubleshooting.md has no entry \"### %s\"", reason)
		}
	}
	for _, entry := range entries {
		if !slices.Contains(reasons, entry) {
			t.Errorf("troubleshooting.md has an entry %q, which is no reason", entry)
		}
	}
}

func TestEverySettingIsExplained(t *testing.T) {
	page := read(t, "settings.md")
	for _, of := range []any{v1alpha1.BackupPolicySpec{}, v1alpha1.JobTemplate{}, v1alpha1.RemotePartition{},
		v1alpha1.SourceVolume{}, v1alpha1.Storage{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(of)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !regexp.MustCompile(`\b` + name + `\b`).MatchString(page) {
				t.Errorf("settings.md does not speak of %s of %T", name, of)
			}
		}
	}
}

// TestExamplesAreValid parses each example that is a policy, or a part of one's spec.
func TestExamplesAreValid(t *testing.T) {
	fields := map[string]bool{}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[v1alpha1.BackupPolicySpec]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields[name] = true
	}
	examples := 0
	for _, page := range pages(t) {
		for _, text := range submatches("(?ms)^```yaml\n(.*?)^```$", read(t, page)) {
			var target any = &v1alpha1.BackupPolicySpec{}
			first, _, _ := strings.Cut(text, ":")
			switch {
			case strings.Contains(text, "kind: BackupPolicy"):
				// As a BackupPolicy, but strict: that decodes what it can.
				target = &struct {
					metav1.TypeMeta
					metav1.ObjectMeta `json:"metadata"`
					Spec              v1alpha1.BackupPolicySpec `json:"spec"`
				}{}
			case !fields[first]:
				continue
			}
			examples++
			if err := yaml.UnmarshalStrict([]byte(text), target); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, text)
			}
		}
	}
	if examples < 10 {
		t.Errorf("only %d examples found", examples)
	}
}

// TestLinksLeadSomewhere follows the links within the repository, to files and to headings.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		for _, link := range submatches(`\]\(([^)\s]+)\)`, read(t, page)) {
			if strings.Contains(link, "://") {
				continue
			}
			path, fragment, _ := strings.Cut(link, "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, link, err)
			} else if fragment != "" && !slices.Contains(anchors(read(t, target)), fragment) {
				t.Errorf("%s links to %s, and there is no such heading", page, link)
			}
		}
	}
}

// TestPagesThatMessagesNameAreThere, so that nobody who follows a message finds nothing.
func TestPagesThatMessagesNameAreThere(t *testing.T) {
	found := 0
	for _, path := range programFiles(t) {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			literal, ok := node.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			for _, page := range submatches(`\bdocs/([a-zA-Z/-]+\.md)\b`, literal.Value) {
				found++
				if _, err := os.Stat(page); err != nil {
					t.Errorf("%s names docs/%s: %v", path, page, err)
				}
			}
			return true
		})
	}
	if found == 0 {
		t.Error("no message names a page")
	}
}

// programFiles are the Go files of the program itself.
func programFiles(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("../*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"../api", "../controllers", "../internal"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if filepath.Ext(path) == ".go" {
				all = append(all, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return slices.DeleteFunc(all, func(path string) bool { return strings.HasSuffix(path, "_test.go") })
}

// pages are the pages that people write, by their path from here.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	runbooks, err := filepath.Glob("runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(append(found, runbooks...), "../README.md", "../CONTRIBUTING.md")
}

// anchors are the fragments of a page's headings, as GitHub makes them.
func anchors(page string) []string {
	var all []string
	for _, heading := range submatches(`(?m)^#+ (.*)$`, page) {
		heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
		all = append(all, strings.ReplaceAll(heading, " ", "-"))
	}
	return all
}

// constants are the values of the string constants in a Go file whose names begin so.
func constants(t *testing.T, path, prefix string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) || len(spec.Values) != 1 {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	return values
}

func submatches(pattern, text string) []string {
	var all []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
