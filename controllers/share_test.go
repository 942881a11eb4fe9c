// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// TestPoliciesShareWhatTheySay: what is kept of a policy says the same, and strings that two have are one.
func TestPoliciesShareWhatTheySay(t *testing.T) {
	var kept []*backupv1alpha1.BackupPolicy
	reduce := reducePolicy(newSharer())
	for range 2 {
		policy := readPolicy(t, "testdata/job.yaml")
		policy.Status.Schedule = strings.Clone("0 5 * * *")
		reduced, err := reduce(policy.DeepCopy())
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
	reduce, policy := reducePolicy(newSharer()), readPolicy(t, "testdata/minimal.yaml")
	policy.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}
	if _, err := reduce(policy); err != nil {
		t.Fatal(err)
	}
	if policy.Annotations != nil {
		t.Errorf("annotations %v", policy.Annotations)
	}
	policy.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "another": "one"}
	if _, err := reduce(policy); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"another": "one"}, policy.Annotations); diff != "" {
		t.Error(diff)
	}
}

func TestLongStringsAreNotRemembered(t *testing.T) {
	s := newSharer()
	long := struct{ Text string }{strings.Repeat("x", sharedLength+1)}
	s.share(&long)
	for _, seen := range s.seen {
		if seen != "" {
			t.Fatalf("remembers %d bytes", len(seen))
		}
	}
}

func TestListsLoseTheirSpareRoom(t *testing.T) {
	list := struct{ Texts []string }{append(make([]string, 0, 8), "a", "b")}
	newSharer().share(&list)
	if diff := cmp.Diff([]string{"a", "b"}, list.Texts); diff != "" {
		t.Error(diff)
	}
	if cap(list.Texts) != 2 {
		t.Errorf("room for %d", cap(list.Texts))
	}
}

// TestTimesAreLeftAlone: in a time there is the time zone, with its name and those of its daylight saving times, which
// belongs to all times.
func TestTimesAreLeftAlone(t *testing.T) {
	s := newSharer()
	s.share(&struct{ At metav1.Time }{metav1.NewTime(start.In(time.FixedZone("Quiet Zone", 0)))})
	for _, seen := range s.seen {
		if seen != "" {
			t.Errorf("remembers %q", seen)
		}
	}
}
