// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"appliance.io/backup-operator/test/controlplane"
)

// TestFieldsThatOthersAddToTheCronJobAreRemoved, for they would change what runs may do or mean, and what others have added
// to its metadata stays.
func TestFieldsThatOthersAddToTheCronJobAreRemoved(t *testing.T) {
	const podSpec = `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{%s}}}}}}`
	for name, patch := range map[string]string{
		"rights":           fmt.Sprintf(podSpec, `"serviceAccountName":"admin"`),
		"tolerations":      fmt.Sprintf(podSpec, `"tolerations":[{"operator":"Exists"}]`),
		"a container":      fmt.Sprintf(podSpec, `"initContainers":[{"name":"more","image":"more"}]`),
		"a pod annotation": `{"spec":{"jobTemplate":{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}}}`,
		"a TTL":            `{"spec":{"jobTemplate":{"spec":{"ttlSecondsAfterFinished":0}}}}`,
		"a default":        `{"spec":{"jobTemplate":{"spec":{"completions":2,"parallelism":2}}}}`,
		"a time zone":      `{"spec":{"timeZone":"Etc/UTC"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			ns, c := namespace(t, "appliance-backups"), controlplane.NewClient(t)
			if err := c.Create(t.Context(), withCPULimit(t, ns, "appliance", "1")); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() error { return isReady(t, ns, "appliance", metav1.ConditionTrue, "") })
			var cronJob batchv1.CronJob
			key := client.ObjectKey{Namespace: ns, Name: CronJobName("appliance")}
			eventually(t, func() error {
				if err := c.Get(t.Context(), key, &cronJob); err != nil {
					return err
				}
				if createdEntry(cronJob.ManagedFields) != nil {
					return errors.New("the CronJob isn't adopted yet")
				}
				return nil
			})
			asWanted := cronJob.Spec.DeepCopy()
			for _, change := range []string{`{"metadata":{"annotations":{"mine":"kept"}}}`, patch} {
				if err := c.Patch(t.Context(), &cronJob, client.RawPatch(types.MergePatchType, []byte(change)),
					client.FieldOwner("somebody")); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, func() error {
				if err := c.Get(t.Context(), key, &cronJob); err != nil {
					return err
				}
				if cronJobRecordOf(&cronJob).hasAdded {
					return errors.New("what was added is still there")
				}
				return nil
			})
			if diff := cmp.Diff(*asWanted, cronJob.Spec); diff != "" || cronJob.Annotations["mine"] != "kept" {
				t.Errorf("annotations %v, spec (-want +got)\n%s", cronJob.Annotations, diff)
			}
		})
	}
}
