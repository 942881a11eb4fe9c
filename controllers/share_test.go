// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// TestPoliciesShareWhatTheySay: what is kept of a policy says the same, and strings that two have are one.
func TestPoliciesShareWhatTheySay(t *testing.T) {
	var kept []*backupv1alpha1.BackupPolicy
	for range 2 {
		policy := readPolicy(t, "testdata/job.yaml")
		policy.Status.Schedule = strings.Clone("0 5 * * *")
		reduced, err := reducePolicy(policy.DeepCopy())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(policy, reduced); diff != "" {
			t.Errorf("(-before +after)\n%s", diff)
		}
		kept = append(kept, reduced.(*backupv1alpha1.BackupPolicy))
	}
	a, b := kept[0].Status.Schedule, kept[1].Status.Schedule
	if unsafe.StringData(a) != unsafe.StringData(b) {
		t.Error("two policies say the same twice")
	}
}

func TestWhatIsDroppedFromPolicies(t *testing.T) {
	policy := readPolicy(t, "testdata/minimal.yaml")
	policy.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}
	if _, err := reducePolicy(policy); err != nil {
		t.Fatal(err)
	}
	if policy.Annotations != nil {
		t.Errorf("annotations %v", policy.Annotations)
	}
	policy.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "another": "one"}
	if _, err := reducePolicy(policy); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"another": "one"}, policy.Annotations); diff != "" {
		t.Error(diff)
	}
}

// TestTheSharerForgets, so that it doesn't take more and more memory.
func TestTheSharerForgets(t *testing.T) {
	s := newSharer()
	long := struct{ Text string }{strings.Repeat("x", sharedLength+1)}
	s.share(&long)
	for _, seen := range s.seen {
		if seen != "" {
			t.Fatalf("remembers %d bytes", len(seen))
		}
	}
	list := struct{ Texts []string }{append(make([]string, 0, 8), "a", "b")}
	s.share(&list)
	if diff := cmp.Diff([]string{"a", "b"}, list.Texts); diff != "" || cap(list.Texts) != 2 {
		t.Errorf("room for %d, %s", cap(list.Texts), diff)
	}
}
