// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

const crdPath = "../../config/crd/bases/backup.appliance.io_backuppolicies.yaml"

// leaf is a field of the CRD that holds no other fields, and how to make an object that has it and all that it needs.
type leaf struct {
	path   string
	schema apiextensionsv1.JSONSchemaProps
	// with is the object, with such a value in the field.
	with func(value any) map[string]any
}

// leaves are the leaves below a field of an object whose other fields are those given.
func leaves(path string, schema apiextensionsv1.JSONSchemaProps, with func(any) map[string]any) []leaf {
	var all []leaf
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		all = append(all, leaves(path+"."+name, schema.Properties[name], func(value any) map[string]any {
			object := required(schema)
			object[name] = value
			return with(object)
		})...)
	}
	if items := schema.Items; items != nil {
		all = append(all, leaves(path+"[]", *items.Schema, func(value any) map[string]any { return with([]any{value}) })...)
	}
	if values := schema.AdditionalProperties; values != nil {
		all = append(all, leaves(path+"{}", *values.Schema, func(value any) map[string]any {
			return with(map[string]any{"cpu": value})
		})...)
	}
	if len(all) == 0 {
		return []leaf{{path, schema, with}}
	}
	return all
}

// required are the fields that an object must have, with values that pass.
func required(schema apiextensionsv1.JSONSchemaProps) map[string]any {
	object := map[string]any{}
	for _, name := range schema.Required {
		object[name] = plain(name, schema.Properties[name])
	}
	return object
}

// plain is a value that passes in a field of that name.
func plain(name string, schema apiextensionsv1.JSONSchemaProps) any {
	switch {
	case schema.XIntOrString:
		return int64(1)
	case len(schema.Enum) > 0:
		var value any
		if err := json.Unmarshal(schema.Enum[0].Raw, &value); err != nil {
			panic(err)
		}
		return value
	case schema.Format == "date-time":
		return "2026-11-22T05:00:00Z"
	case schema.Type == "boolean":
		return false
	case schema.Type == "integer":
		return int64(1)
	case schema.Type == "array":
		return []any{}
	case schema.Type == "object":
		return required(schema)
	case strings.HasSuffix(strings.ToLower(name), "path"), strings.HasSuffix(name, "Directory"):
		return "/a"
	}
	return "a"
}

var (
	strangeNumbers = []any{
		int64(0), int64(-1), int64(1<<31 - 1), int64(1 << 31), int64(-1<<31 - 1), int64(9999999999), int64(1 << 53),
		int64(1<<63 - 1), int64(-1 << 63), float64(1 << 63), 1.5, 1e10, 1e21, 1e300, -1e300, 5e-324,
	}
	strangeQuantities = []any{
		"1e1.5", "1e-999999999", "1e999999999", "1E-99999999999999999999", "1.e.5", "1e", "1E", "1e5", "1E-5", "5.", ".5", ".", "+1",
		"-1", "--1", "1Ki", "1KI", "1k", "1K", "1m", "1n", "1u", "1e.5", "1e+", "0x10", "1_0", "NaN", "Infinity", " 1", "1 ", "1\n",
		"１", "1e-99", "1e99", "1Ei", "99999999999999999999Ei", strings.Repeat("9", 400), "." + strings.Repeat("0", 400) + "1",
		"1e0000000001", "-.0000000001n", "1.5e2", "1.1Mi",
	}
	strangeTimes = []any{
		"2026-11-22T05:00:00Z", "2026-11-22t05:00:00z", "2026-11-22T05:00:00", "2026-11-22", "2026-02-30T05:00:00Z",
		"2023-02-29T05:00:00Z", "2026-12-31T23:59:60Z", "2026-11-22T24:00:00Z", "2026-11-22T05:00:00.123456789Z", "0000-01-01T00:00:00Z",
		"9999-12-31T23:59:59+23:59", "2026-11-22T05:00:00+24:00", "2026-11-22 05:00:00Z", "2026-11-22T05:00:00,5Z", "1h", "1h1",
		"90m", "1.5s", "-5m0s", "9999999999h", "999999h59m59.999999999s", "1 day", "P1D", "1d", "1µs", "1μs", "0", ".5s", "1h-1m",
		"2026-11-22T5:00:00Z", "10000-01-01T00:00:00Z", "2026-11-22T05:00:00+00:60", "2026-11-22T05:00:00-0300", "2026-04-31T00:00:00Z",
	}
	strangeKinds = []any{nil, true, "", "text", []any{}, map[string]any{}}
)

// strange are values that a field may or may not accept. Text without any format is text, and needs few.
func (l leaf) strange(random *rand.Rand) []any {
	values := append([]any{plain(l.path, l.schema)}, strangeKinds...)
	switch s := l.schema; {
	case s.XIntOrString:
		return slices.Concat(values, strangeNumbers, strangeQuantities, someQuantities(random))
	case s.Type == "integer", s.Type == "number":
		return slices.Concat(values, strangeNumbers)
	case s.Type == "string" && (s.Format != "" || s.Pattern != ""):
		return slices.Concat(values, strangeTimes, strangeQuantities)
	}
	return append(values, strangeNumbers[0], strangeQuantities[0], strangeTimes[0])
}

// someQuantities are made at random of what quantities are made of.
func someQuantities(random *rand.Rand) []any {
	const alphabet = "0123456789..eE+-KMGTPEinumk"
	all := make([]any, 60)
	for i := range all {
		text := []byte{"0123456789.+-"[random.IntN(13)]}
		for range random.IntN(7) {
			text = append(text, alphabet[random.IntN(len(alphabet))])
		}
		all[i] = string(text)
	}
	return all
}

// TestWhateverTheAPIAcceptsIsDecoded puts strange values in each field of the CRD. A value that the API server accepts and
// Go can't decode, or not in any reasonable time, would keep clients from reading all policies.
func TestWhateverTheAPIAcceptsIsDecoded(t *testing.T) {
	stored := sample(t, change{"metadata.name", "decoded"})
	c := controlplane.NewClient(t)
	if err := c.Create(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	var all apiextensionsv1.CustomResourceDefinition
	content, err := os.ReadFile(crdPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, &all); err != nil {
		t.Fatal(err)
	}
	properties := all.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties
	created := leaves("spec", properties["spec"], func(spec any) map[string]any {
		policy := sample(t).Object
		// What else a policy needs.
		for name, value := range map[string]any{"backupDirectory": "/a", "storage": map[string]any{
			"persistentVolumeClaim": map[string]any{"claimName": "a"}}} {
			if _, set := spec.(map[string]any)[name]; !set || name == "backupDirectory" && spec.(map[string]any)[name] == nil {
				spec.(map[string]any)[name] = value
			}
		}
		policy["spec"] = spec
		return policy
	})
	patched := leaves("status", properties["status"], func(status any) map[string]any {
		policy := runtime.DeepCopyJSON(stored.Object)
		policy["status"] = status
		return policy
	})
	accepted := tryAll(t, created, func(o *unstructured.Unstructured) error { return c.Create(t.Context(), o, client.DryRunAll) })
	accepted += tryAll(t, patched, func(o *unstructured.Unstructured) error {
		return c.Status().Update(t.Context(), o, client.DryRunAll)
	})
	// Otherwise it is something else in the objects that the API server refuses.
	if want := len(created) + len(patched); accepted < want*95/100 {
		t.Errorf("of %d fields only %d accept any value", want, accepted)
	}
}

// tryAll has the API server judge strange values of each leaf, and returns how many leaves accept any.
func tryAll(t *testing.T, all []leaf, send func(*unstructured.Unstructured) error) int {
	t.Helper()
	var accepting atomic.Int64
	group := errgroup.Group{}
	group.SetLimit(16)
	for i, l := range all {
		group.Go(func() error {
			accepts := sync.OnceFunc(func() { accepting.Add(1) })
			for _, value := range l.strange(rand.New(rand.NewPCG(1, uint64(i)))) {
				policy := &unstructured.Unstructured{Object: l.with(value)}
				if err := send(policy); err != nil {
					continue
				}
				accepts()
				if err := decode(policy); err != nil {
					t.Errorf("%s accepts %#v: %v", l.path, value, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return int(accepting.Load())
}

// decode decodes a policy as clients do, with errors where BackupPolicy has none.
func decode(policy *unstructured.Unstructured) error {
	text, err := policy.MarshalJSON()
	if err != nil {
		return err
	}
	decoded := make(chan error, 1)
	go func() {
		decoded <- json.Unmarshal(text, &struct {
			Spec   backupv1alpha1.BackupPolicySpec   `json:"spec"`
			Status backupv1alpha1.BackupPolicyStatus `json:"status"`
		}{})
	}()
	select {
	case err := <-decoded:
		return err
	case <-time.After(10 * time.Second):
		return fmt.Errorf("decoding takes too long")
	}
}
