// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	batchv1ac "k8s.io/client-go/applyconfigurations/batch/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
	"appliance.io/backup-operator/test/controlplane"
)

// TestOwnedFieldsAreThoseThatClientGoExtracts holds the extraction without a schema against the one with it.
func TestOwnedFieldsAreThoseThatClientGoExtracts(t *testing.T) {
	for _, file := range []string{"page", "minimal", "job", "remote-only", "disabled", "clone"} {
		t.Run(file, func(t *testing.T) {
			cronJob := waitAdopted(t, apply(t, "testdata/"+file+".yaml", namespace(t)))
			extracted, err := batchv1ac.ExtractCronJob(cronJob, string(FieldOwner))
			if err != nil {
				t.Fatal(err)
			}
			got, err := ownedFields(cronJob, ownSet(cronJob))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(throughJSON(t, extracted), throughJSON(t, withoutEmpty(got))); diff != "" {
				t.Errorf("(-extracted +got)\n%s", diff)
			}
		})
	}
}

// waitAdopted waits until the policy's CronJob is there and its fields belong to server-side apply.
func waitAdopted(t *testing.T, policy *backupv1alpha1.BackupPolicy) *batchv1.CronJob {
	t.Helper()
	var cronJob *batchv1.CronJob
	eventually(t, func() (err error) {
		cronJob, err = reconciler.getCronJob(t.Context(), policy)
		if err == nil && (cronJob == nil || ownSet(cronJob) == "") {
			err = fmt.Errorf("not adopted: %+v", cronJob)
		}
		return err
	})
	return cronJob
}

// TestWhatIsCreatedIsAsIfApplied: the API server, asked to apply what was created, finds nothing to change, not even who
// owns which field.
func TestWhatIsCreatedIsAsIfApplied(t *testing.T) {
	for _, file := range []string{"page", "minimal", "job", "remote-only", "disabled", "clone"} {
		t.Run(file, func(t *testing.T) {
			policy := apply(t, "testdata/"+file+".yaml", namespace(t))
			cronJob := waitAdopted(t, policy)
			if len(cronJob.ManagedFields) != 1 {
				t.Errorf("more than server-side apply owns fields: %+v", cronJob.ManagedFields)
			}
			schedule, _ := checkSettings(policy, reconciler.Options)
			claims := reconciler.Mirrors.claimsOf(policy)
			fields, err := appliedFields(BuildCronJob(policy, schedule, claims, reconciler.Options))
			if err != nil {
				t.Fatal(err)
			}
			object := &unstructured.Unstructured{Object: fields}
			err = controlplane.NewClient(t).Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), FieldOwner)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(cronJob, mustGetCronJob(t, policy)); diff != "" {
				t.Errorf("applying changed something:\n%s", diff)
			}
		})
	}
}

// TestACreatedCronJobIsAdoptedLater, by an operator that finds one whose maker died right after making it.
func TestACreatedCronJobIsAdoptedLater(t *testing.T) {
	policy := apply(t, "testdata/job.yaml", namespace(t))
	adopted := waitAdopted(t, policy)
	orphan := adopted.DeepCopy()
	orphan.ManagedFields[0].Operation = metav1.ManagedFieldsOperationUpdate
	if err := controlplane.NewClient(t).Update(t.Context(), orphan, FieldOwner); err != nil {
		t.Fatal(err)
	}
	again := waitAdopted(t, policy)
	if ownSet(again) != ownSet(adopted) {
		t.Errorf("owned %s, want %s", ownSet(again), ownSet(adopted))
	}
}

func throughJSON(t *testing.T, value any) map[string]any {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	return withoutEmpty(object)
}

func TestOwnedFields(t *testing.T) {
	cronJob := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{
		Name: "a-backup", Namespace: "orbit", Labels: map[string]string{"ours": "1", "theirs": "2"},
		Finalizers: []string{"ours", "theirs"},
	}}
	cronJob.Spec.Schedule, cronJob.Spec.Suspend = "0 5 * * *", ptr.To(false)
	cronJob.Spec.JobTemplate.Spec.Template.Spec.Containers = []corev1.Container{
		{Name: "theirs", Image: "theirs"},
		{
			Name: "ours", Image: "ours", ImagePullPolicy: corev1.PullAlways, Args: []string{"all", "of", "it"},
			Ports: []corev1.ContainerPort{{ContainerPort: 1, Name: "theirs"}, {ContainerPort: 2, Name: "ours"}},
		},
	}
	const set = `{"f:metadata": {"f:labels": {".": {}, "f:ours": {}}, "f:finalizers": {"v:\"ours\"": {}}},
		"f:spec": {"f:schedule": {}, "f:gone": {}, "f:jobTemplate": {"f:spec": {"f:template": {"f:spec": {"f:containers": {
			"k:{\"name\":\"ours\"}": {".": {}, "f:name": {}, "f:image": {}, "f:args": {},
				"f:ports": {"k:{\"containerPort\":2}": {"f:name": {}}}}}}}}}}}`
	got, err := ownedFields(cronJob, set)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"apiVersion": "batch/v1", "kind": "CronJob",
		"metadata": map[string]any{
			"name": "a-backup", "namespace": "orbit", "labels": map[string]any{"ours": "1"}, "finalizers": []any{"ours"},
		},
		"spec": map[string]any{
			"schedule": "0 5 * * *",
			"jobTemplate": map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{
					"name": "ours", "image": "ours", "args": []any{"all", "of", "it"}, "ports": []any{map[string]any{"name": "ours"}},
				}},
			}}}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestDigestsAreAsGoodAsFields: what is kept of a CronJob tells whether it is as it should be, and differs when anything of
// ours does.
func TestDigestsAreAsGoodAsFields(t *testing.T) {
	const set = `{"f:metadata":{"f:labels":{"f:ours":{}}},"f:spec":{"f:schedule":{},"f:suspend":{}}}`
	build := func(change func(*batchv1.CronJob)) digest {
		object := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{
			Name: "a-backup", Labels: map[string]string{"ours": "1", "theirs": "2"},
			ManagedFields: []metav1.ManagedFieldsEntry{
				{Manager: "kubectl", Operation: "Update", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:timeZone":{}}}`)},
				{Manager: string(FieldOwner), Operation: "Apply", FieldsV1: metav1.NewFieldsV1(set)},
			},
		}}
		object.Spec.Schedule, object.Spec.Suspend, object.Spec.TimeZone = "0 5 * * *", ptr.To(false), ptr.To("UTC")
		change(object)
		return cronJobRecordOf(object).own
	}
	first := build(func(*batchv1.CronJob) {})
	for name, change := range map[string]func(*batchv1.CronJob){
		"of others": func(c *batchv1.CronJob) { c.Labels["theirs"], c.Spec.TimeZone = "3", nil },
	} {
		if build(change) != first {
			t.Errorf("%s: the digest differs", name)
		}
	}
	for name, change := range map[string]func(*batchv1.CronJob){
		"a value": func(c *batchv1.CronJob) { c.Spec.Schedule = "0 6 * * *" },
		"a label": func(c *batchv1.CronJob) { c.Labels["ours"] = "3" },
		"taken over": func(c *batchv1.CronJob) {
			c.ManagedFields[1].FieldsV1 = metav1.NewFieldsV1(`{"f:spec":{"f:suspend":{}}}`)
		},
		"disowned": func(c *batchv1.CronJob) { c.ManagedFields = c.ManagedFields[:1] },
	} {
		if build(change) == first {
			t.Errorf("%s: the digest is the same", name)
		}
	}
}
