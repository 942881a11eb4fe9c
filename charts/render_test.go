// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"bytes"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

// objects are what a chart or an overlay renders, by "Kind name" or "Kind namespace/name".
type objects map[string]map[string]any

// tool returns the path of a development tool, which is built the first time.
var tool = func() func(t *testing.T, name string) string {
	var mu sync.Mutex
	paths := map[string]string{}
	return func(t *testing.T, name string) string {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if paths[name] == "" {
			paths[name] = strings.TrimSpace(run(t, "../hack/tools/build.sh", name))
		}
		return paths[name]
	}
}()

// run returns what a command prints and ends the test when it fails.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := tryRun(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryRun(name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// helmTemplate renders the chart as `helm install backup-operator` with these arguments would.
func helmTemplate(t *testing.T, args ...string) (objects, error) {
	t.Helper()
	args = append([]string{"template", "backup-operator", "backup-operator", "--namespace", "backup-operator-system"},
		args...)
	out, err := tryRun(tool(t, "helm"), args...)
	if err != nil {
		return nil, err
	}
	return parse(t, out), nil
}

func chart(t *testing.T, args ...string) objects {
	t.Helper()
	rendered, err := helmTemplate(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return rendered
}

func kustomization(t *testing.T, directory string) objects {
	t.Helper()
	return parse(t, run(t, tool(t, "kustomize"), "build", directory))
}

// parse splits a stream of YAML documents. Two objects of one name end the test: one would overwrite the other.
func parse(t *testing.T, stream string) objects {
	t.Helper()
	parsed := objects{}
	for document := range strings.SplitSeq("\n"+stream, "\n---\n") {
		var object map[string]any
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			t.Fatalf("not YAML: %v\n%s", err, document)
		}
		if object == nil {
			continue
		}
		name := at[string](t, object, "metadata", "name")
		if namespace, ok := at[map[string]any](t, object, "metadata")["namespace"]; ok {
			name = fmt.Sprintf("%s/%s", namespace, name)
		}
		key := fmt.Sprintf("%s %s", object["kind"], name)
		if _, twice := parsed[key]; twice {
			t.Fatalf("%s is rendered twice", key)
		}
		parsed[key] = object
	}
	return parsed
}

// names are the keys of objects, sorted.
func (o objects) names() []string {
	return slices.Sorted(maps.Keys(o))
}

// get returns an object that must be there.
func (o objects) get(t *testing.T, key string) map[string]any {
	t.Helper()
	object, ok := o[key]
	if !ok {
		t.Fatalf("%s is not rendered, only %s", key, strings.Join(o.names(), ", "))
	}
	return object
}

// at returns the value at a path of map keys and slice indices. It must be there and of type T.
func at[T any](t *testing.T, value any, path ...any) T {
	t.Helper()
	for i, step := range path {
		var next any
		switch step := step.(type) {
		case string:
			next = value.(map[string]any)[step]
		case int:
			next = value.([]any)[step]
		}
		if next == nil {
			t.Fatalf("nothing at %v", path[:i+1])
		}
		value = next
	}
	typed, ok := value.(T)
	if !ok {
		t.Fatalf("%v is a %T, not a %T", path, value, typed)
	}
	return typed
}

// plain removes from an object what Helm and kustomize may say differently: labels by which installations are told
// apart, and what tells Helm to leave the CRD behind.
func plain(object map[string]any) map[string]any {
	dropKeys(object, "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/part-of",
		"app.kubernetes.io/version", "helm.sh/chart", "helm.sh/resource-policy")
	metadata := object["metadata"].(map[string]any)
	if labels, ok := metadata["labels"].(map[string]any); ok {
		dropKeys(labels, "app.kubernetes.io/name", "app.kubernetes.io/component")
		if len(labels) == 0 {
			delete(metadata, "labels")
		}
	}
	return object
}

// dropKeys deletes keys from value and everything below it.
func dropKeys(value any, keys ...string) {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range keys {
			delete(value, key)
		}
		for _, below := range value {
			dropKeys(below, keys...)
		}
	case []any:
		for _, below := range value {
			dropKeys(below, keys...)
		}
	}
}
