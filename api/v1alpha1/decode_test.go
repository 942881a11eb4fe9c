// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAPolicyThatCannotBeDecodedLeavesTheOthersOfItsList decodes lists as an earlier CRD accepted them.
func TestAPolicyThatCannotBeDecodedLeavesTheOthersOfItsList(t *testing.T) {
	for part, want := range map[string]string{
		`"spec":{"job":{"resources":{"limits":{"cpu":"1e1.5"}}}}`:                                        `spec.job.resources.limits.cpu: "1e1.5": `,
		`"spec":{"job":{"resources":{"limits":{"cpu":"1e-999999999"}}}}`:                                 `spec.job.resources.limits.cpu: "1e-999999999": `,
		`"spec":{"job":{"resources":{"limits":{"cpu":"1E+999999999"}}}}`:                                 `spec.job.resources.limits.cpu: "1E+999999999": `,
		`"spec":{"job":{"resources":{"limits":{"cpu":"` + strings.Repeat("9", 100000) + `"}}}}`:          `spec.job.resources.limits.cpu: "999`,
		`"spec":{"applicationBackup":{"volumes":[{"name":"a","emptyDir":{"sizeLimit":"1.e.5"}}]}}`:       `spec.applicationBackup.volumes[0].emptyDir.sizeLimit: "1.e.5": `,
		`"spec":{"job":{"initContainers":[{},{"startupProbe":{"httpGet":{"port":9999999999}}}]}}`:        `spec.job.initContainers[1].startupProbe.httpGet.port: 9999999999: `,
		`"spec":{"job":{"affinity":[]}}`:                                                                 `spec.job.affinity: []: `,
		`"spec":{"suspend":{"when":"later"}}`:                                                            `spec.suspend: {"when":"later"}: `,
		`"spec":{"totalBackups":1e300}`:                                                                  `spec.totalBackups: 1e+300: `,
		`"spec":7`:                                                                                       `spec: 7: `,
		`"status":{"lastRun":{"bytesRead":1.5}},"spec":{"job":{"resources":{"requests":{"a":"1e999"}}}}`: `spec.job.resources.requests.a: "1e999": `,
	} {
		var list BackupPolicyList
		text := fmt.Sprintf(`{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"one"},"spec":{"schedule":"@daily"}},
			{"metadata":{"name":"two"},%s},{"metadata":{"name":"three"},"spec":{"schedule":"@daily"}}]}`, part)
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			t.Errorf("%.100s: %v", part, err)
			continue
		}
		if len(list.Items) != 3 || list.ResourceVersion != "7" {
			t.Fatalf("%.100s: decoded as %+v", part, list)
		}
		if two := &list.Items[1]; two.Name != "two" || !strings.HasPrefix(two.Undecodable, want) {
			t.Errorf("%.100s: %s is undecodable because of %.200q, want %q", part, two.Name, two.Undecodable, want)
		}
		for _, i := range []int{0, 2} {
			if p := &list.Items[i]; p.Undecodable != "" || p.Spec.Schedule != "@daily" {
				t.Errorf("%.100s: beside it, %s is decoded as %+v: %s", part, p.Name, p.Spec, p.Undecodable)
			}
		}
	}
}

// TestAStatusThatCannotBeDecodedIsEmpty leaves the spec, and the other policies of the list.
func TestAStatusThatCannotBeDecodedIsEmpty(t *testing.T) {
	for _, status := range []string{
		`{"lastRun":{"duration":"1 day"}}`, `{"conditions":[{"lastTransitionTime":[]}]}`, `[]`, `{"schedule":7}`,
		`{"schedule":"@daily","nextScheduleTime":"2026-11-22t05:00:00z"}`,
	} {
		var policy BackupPolicy
		if err := json.Unmarshal([]byte(`{"spec":{"schedule":"@daily"},"status":`+status+`}`), &policy); err != nil {
			t.Errorf("%s: %v", status, err)
		}
		want := BackupPolicy{Spec: BackupPolicySpec{Schedule: "@daily"}}
		if diff := cmp.Diff(want, policy); diff != "" {
			t.Errorf("%s (-want +got)\n%s", status, diff)
		}
	}
}

// TestTextThatLooksLikeALongQuantityIsText: a commit's abbreviated hash may be 12e34567.
func TestTextThatLooksLikeALongQuantityIsText(t *testing.T) {
	var policy BackupPolicy
	text := `{"spec":{"runNow":"12e34567","filenamePrefix":"` + strings.Repeat("1", 99) + `","job":{"resources":{"limits":{"cpu":"2"}}}}}`
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		t.Fatal(err)
	}
	if policy.Undecodable != "" || policy.Spec.RunNow != "12e34567" || policy.Spec.Job.Resources.Limits.Cpu().Value() != 2 {
		t.Errorf("decoded as %+v: %s", policy.Spec, policy.Undecodable)
	}
}

func TestDecodingReplacesThePolicy(t *testing.T) {
	policy := BackupPolicy{Undecodable: "earlier"}
	policy.Spec.RunNow, policy.Status.Schedule = "earlier", "@daily"
	if err := json.Unmarshal([]byte(`{"kind":"BackupPolicy","apiVersion":"backup.appliance.io/v1alpha1","spec":{"schedule":"@daily"}}`),
		&policy); err != nil {
		t.Fatal(err)
	}
	want := BackupPolicy{Spec: BackupPolicySpec{Schedule: "@daily"}}
	want.APIVersion, want.Kind = GroupVersion.String(), "BackupPolicy"
	if diff := cmp.Diff(want, policy); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
