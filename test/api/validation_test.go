// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"os"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"appliance.io/backup-operator/test/controlplane"
)

// change is one change of the sample policy: a path such as spec.storage and the YAML to put there; empty to remove.
type change struct{ path, value string }

// sample is the policy that users start from, with changes.
func sample(t *testing.T, changes ...change) *unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile("../../config/samples/backuppolicy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	policy := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &policy.Object); err != nil {
		t.Fatal(err)
	}
	policy.SetNamespace("default")
	for _, c := range changes {
		fields := strings.Split(c.path, ".")
		if c.value == "" {
			unstructured.RemoveNestedField(policy.Object, fields...)
			continue
		}
		var value any
		if err := yaml.Unmarshal([]byte(c.value), &value); err != nil {
			t.Fatal(err)
		}
		if err := unstructured.SetNestedField(policy.Object, value, fields...); err != nil {
			t.Fatal(err)
		}
	}
	return policy
}

// try asks the API server what it thinks, without storing anything.
func try(t *testing.T, policy *unstructured.Unstructured) error {
	t.Helper()
	return controlplane.NewClient(t).Create(context.Background(), policy, client.DryRunAll,
		client.FieldValidation("Strict"))
}

const (
	pvcData    = `[{name: data, persistentVolumeClaim: {claimName: appliance-data}}]`
	noRemote   = `{enabled: false}`
	dataVolume = "spec.applicationBackup.volumes"
)

func TestAccepts(t *testing.T) {
	for name, changes := range map[string][]change{
		"the sample":             nil,
		"no schedule":            {{"spec.schedule", ""}},
		"no prefix":              {{"spec.filenamePrefix", ""}},
		"no total":               {{"spec.totalBackups", ""}},
		"application alone":      {{"spec.sessionsBackup", ""}},
		"sessions alone":         {{"spec.applicationBackup", ""}},
		"both disabled":          {{"spec.applicationBackup.enabled", "false"}, {"spec.sessionsBackup.enabled", "false"}},
		"neither":                {{"spec.applicationBackup", ""}, {"spec.sessionsBackup", ""}},
		"disabled, no volumes":   {{"spec.sessionsBackup", "{enabled: false}"}},
		"remote disabled":        {{"spec.remotePartition.enabled", "false"}},
		"no storage, remote":     {{"spec.storage", ""}},
		"archives only":          {{"spec.fileBackupMode", "Archive"}, {"spec.rsyncDirectory", ""}, {"spec.remotePartition", ""}},
		"one directory, 2 vols":  {{"spec.rsyncDirectory", "/daily"}},
		"root, two volumes":      {{"spec.backupDirectory", "/"}, {"spec.rsyncDirectory", "/"}},
		"side by side":           {{"spec.remotePartition", noRemote}, {"spec.rsyncDirectory", "/daily-mirror"}},
		"dots in names":          {{"spec.backupDirectory", "/.hidden/a..b/...c"}},
		"deep directory":         {{"spec.backupDirectory", "/a/b/c d/é"}},
		"cifs":                   {{"spec.remotePartition", "{enabled: true, cifs: {server: s, share: a/b, secretName: x}}"}},
		"csi":                    {{"spec.remotePartition", "{enabled: true, csi: {driver: x.example.com}}"}},
		"remote claim":           {{"spec.remotePartition", "{enabled: true, persistentVolumeClaim: {claimName: r}}"}},
		"nfs storage":            {{"spec.storage", "{nfs: {server: s, path: /e}}"}},
		"config map":             {{dataVolume, "[{name: c, configMap: {name: c}}]"}},
		"secret":                 {{dataVolume, "[{name: c, secret: {secretName: c}}]"}},
		"host path":              {{dataVolume, "[{name: c, hostPath: {path: /c}}]"}},
		"scratch":                {{dataVolume, "[{name: c, emptyDir: {}}]"}},
		"H in the schedule":      {{"spec.schedule", "H H(0-5) * * *"}},
		"most totalBackups":      {{"spec.totalBackups", "1000"}},
		"suspended":              {{"spec.suspend", "true"}},
		"run now":                {{"spec.runNow", "2026-11-22 before the upgrade"}},
		"run now, not yet":       {{"spec.runNow", `""`}},
		"clone":                  {{dataVolume, "[{name: c, persistentVolumeClaim: {claimName: c}, copyMethod: Clone}]"}},
		"direct, said":           {{dataVolume, "[{name: c, configMap: {name: c}, copyMethod: Direct}]"}},
		"mount options":          {{"spec.remotePartition", "{enabled: true, cifs: {server: s, share: a, secretName: x, mountOptions: [vers=3.1.1]}}"}},
		"job":                    {{"spec.job", "{labels: {a: b}, backoffLimit: 0, initContainers: [{name: a, image: b}]}"}},
		"the longest deadlines":  {{"spec.job", "{activeDeadlineSeconds: 31536000, startingDeadlineSeconds: 31536000}"}},
		"quantities":             {{"spec.job", `{resources: {limits: {cpu: 1, memory: 1e3}, requests: {cpu: "0.5", memory: 1.5Gi}}}`}},
		"a Kueue queue":          {{"spec.job", "{labels: {kueue.x-k8s.io/queue-name: q, job: x}, annotations: {example.com/a: b}}"}},
		"longest name":           {{"metadata.name", strings.Repeat("a", 45)}},
		"one-letter prefix":      {{"spec.filenamePrefix", "a"}},
		"an accepted backup":     {{"spec.acceptChange", "my.web-app-20260228T235959Z.tar.zst"}},
		"none accepted":          {{"spec.acceptChange", ""}},
		"the last of a month":    {{"spec.acceptChange", "app-20260131T000000Z.tar.zst"}},
		"all a prefix may have":  {{"spec.filenamePrefix", "A-b_c.9"}},
		"same claim, subfolders": {{"spec.remotePartition", "{enabled: true, persistentVolumeClaim: {claimName: appliance-backups}}"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := try(t, sample(t, changes...)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		changes []change
		message string
	}{
		"no volume at all":          {[]change{{"spec.storage", ""}, {"spec.remotePartition", ""}}, "backupDirectory has no volume: set storage"},
		"no volume, disabled":       {[]change{{"spec.storage", ""}, {"spec.remotePartition.enabled", "false"}}, "backupDirectory has no volume"},
		"RSYNC to nowhere":          {[]change{{"spec.rsyncDirectory", ""}}, "set rsyncDirectory, or set fileBackupMode to Archive"},
		"unknown mode":              {[]change{{"spec.fileBackupMode", "Rsync"}}, `supported values: "RSYNC", "Archive"`},
		"no backup directory":       {[]change{{"spec.backupDirectory", ""}}, "spec.backupDirectory"},
		"relative directory":        {[]change{{"spec.backupDirectory", "daily"}}, "begin it with '/'"},
		"trailing slash":            {[]change{{"spec.backupDirectory", "/daily/"}}, "must not end with '/'"},
		"double slash":              {[]change{{"spec.backupDirectory", "/a//b"}}, "clean path"},
		"parent":                    {[]change{{"spec.backupDirectory", "/a/../b"}}, "clean path"},
		"parent at the end":         {[]change{{"spec.rsyncDirectory", "/a/.."}}, "clean path"},
		"dot":                       {[]change{{"spec.rsyncDirectory", "/./a"}}, "clean path"},
		"line break":                {[]change{{"spec.backupDirectory", `"/a\nb"`}}, "control characters"},
		"one directory, one volume": {[]change{{"spec.remotePartition", noRemote}, {"spec.rsyncDirectory", "/daily"}}, "neither may be inside the other"},
		"mirror inside backups":     {[]change{{"spec.remotePartition", noRemote}, {"spec.rsyncDirectory", "/daily/mirror"}}, "neither may be inside the other"},
		"backups inside mirror":     {[]change{{"spec.remotePartition", ""}, {"spec.backupDirectory", "/mirror/daily"}}, "neither may be inside the other"},
		"backups at the root":       {[]change{{"spec.remotePartition", ""}, {"spec.backupDirectory", "/"}}, "neither may be inside the other"},
		"all on the remote":         {[]change{{"spec.storage", ""}, {"spec.rsyncDirectory", "/daily/x"}}, "neither may be inside the other"},
		"remote is the same claim": {[]change{
			{"spec.remotePartition", "{enabled: true, persistentVolumeClaim: {claimName: appliance-backups}}"},
			{"spec.rsyncDirectory", "/daily"}}, "neither may be inside the other"},
		"remote is the same export": {[]change{
			{"spec.storage", "{nfs: {server: nas.example.com, path: /export/appliance}}"},
			{"spec.rsyncDirectory", "/daily"}}, "neither may be inside the other"},
		"storage among the sources":     {[]change{{"spec.storage.persistentVolumeClaim.claimName", "appliance-data"}}, "a backup can't hold itself"},
		"storage among the sessions":    {[]change{{"spec.storage.persistentVolumeClaim.claimName", "appliance-sessions"}}, "a backup can't hold itself"},
		"remote among the sources":      {[]change{{"spec.remotePartition", "{enabled: true, persistentVolumeClaim: {claimName: appliance-logs}}"}}, "a backup can't hold itself"},
		"name twice in one list":        {[]change{{dataVolume, "[{name: a, configMap: {name: a}}, {name: a, configMap: {name: b}}]"}}, "Duplicate value"},
		"name in both lists":            {[]change{{dataVolume, "[{name: sessions, configMap: {name: a}}]"}}, "unique across applicationBackup.volumes and sessionsBackup.volumes"},
		"no source":                     {[]change{{dataVolume, "[{name: a}]"}}, "exactly one of the fields in [persistentVolumeClaim configMap secret nfs csi hostPath emptyDir] must be set"},
		"two sources":                   {[]change{{dataVolume, "[{name: a, configMap: {name: a}, secret: {secretName: b}}]"}}, "exactly one of the fields"},
		"two storages":                  {[]change{{"spec.storage", "{persistentVolumeClaim: {claimName: a}, nfs: {server: s, path: /}}"}}, "exactly one of the fields"},
		"no storage inside":             {[]change{{"spec.storage", "{}"}}, "exactly one of the fields"},
		"reserved name":                 {[]change{{dataVolume, "[{name: storage, configMap: {name: a}}]"}}, "choose another"},
		"reserved name, remote":         {[]change{{dataVolume, "[{name: remote-partition, configMap: {name: a}}]"}}, "choose another"},
		"bad volume name":               {[]change{{dataVolume, "[{name: Data, configMap: {name: a}}]"}}, "lower case letters"},
		"path as volume name":           {[]change{{dataVolume, "[{name: ../a, configMap: {name: a}}]"}}, "lower case letters"},
		"enabled without volumes":       {[]change{{"spec.sessionsBackup", "{enabled: true}"}}, "list at least one volume in volumes, or set enabled to false"},
		"enabled, empty volumes":        {[]change{{dataVolume, "[]"}}, "list at least one volume"},
		"enabled missing":               {[]change{{"spec.sessionsBackup", "{}"}}, "enabled"},
		"absolute exclude":              {[]change{{dataVolume, "[{name: a, configMap: {name: a}, exclude: [/tmp]}]"}}, "leave the leading '/' out"},
		"empty exclude":                 {[]change{{dataVolume, `[{name: a, configMap: {name: a}, exclude: [""]}]`}}, "exclude[0]"},
		"no backups kept":               {[]change{{"spec.totalBackups", "0"}}, "greater than or equal to 1"},
		"too many kept":                 {[]change{{"spec.totalBackups", "1001"}}, "less than or equal to 1000"},
		"slash in the prefix":           {[]change{{"spec.filenamePrefix", "a/b"}}, "letters, digits"},
		"an accepted path":              {[]change{{"spec.acceptChange", "/daily/app-20261122T050000Z.tar.zst"}}, "the file name of a backup"},
		"an accepted month 13":          {[]change{{"spec.acceptChange", "app-20261322T050000Z.tar.zst"}}, "the file name of a backup"},
		"an accepted 31 September":      {[]change{{"spec.acceptChange", "app-20260931T050000Z.tar.zst"}}, "the file name of a backup"},
		"an accepted sidecar":           {[]change{{"spec.acceptChange", "app-20261122T050000Z.tar.zst.sha256"}}, "the file name of a backup"},
		"hidden prefix":                 {[]change{{"spec.filenamePrefix", ".a"}}, "begin and end with a letter or a digit"},
		"remote without any":            {[]change{{"spec.remotePartition", "{enabled: true}"}}, "set one of nfs, cifs, csi and persistentVolumeClaim"},
		"two remotes":                   {[]change{{"spec.remotePartition", "{enabled: true, nfs: {server: s, path: /}, csi: {driver: a.b}}"}}, "at most one of the fields"},
		"relative export":               {[]change{{"spec.remotePartition.nfs.path", "export"}}, "as the server exports it"},
		"cifs without a secret":         {[]change{{"spec.remotePartition", "{enabled: true, cifs: {server: s, share: a}}"}}, "secretName"},
		"cifs server with slashes":      {[]change{{"spec.remotePartition", `{enabled: true, cifs: {server: //s, share: a, secretName: x}}`}}, "the server's name alone"},
		"cifs server with backslashes":  {[]change{{"spec.remotePartition", `{enabled: true, cifs: {server: '\\s', share: a, secretName: x}}`}}, "the server's name alone"},
		"cifs share with a slash":       {[]change{{"spec.remotePartition", `{enabled: true, cifs: {server: s, share: /a, secretName: x}}`}}, "the share's name alone"},
		"cifs share with a backslash":   {[]change{{"spec.remotePartition", `{enabled: true, cifs: {server: s, share: 'a\b', secretName: x}}`}}, "the share's name alone"},
		"password among mount options":  {[]change{{"spec.remotePartition", `{enabled: true, cifs: {server: s, share: a, secretName: x, mountOptions: [password=p]}}`}}, "credentials belong into the Secret"},
		"two options in one":            {[]change{{"spec.remotePartition", `{enabled: true, cifs: {server: s, share: a, secretName: x, mountOptions: ["a,b"]}}`}}, "without commas"},
		"the operator's label":          {[]change{{"spec.job", "{labels: {backup.appliance.io/policy: x}}"}}, "the operator's own"},
		"unknown field":                 {[]change{{"spec.totalbackups", "3"}}, `unknown field "spec.totalbackups"`},
		"name too long":                 {[]change{{"metadata.name", strings.Repeat("a", 46)}}, "at most 45 characters"},
		"a clone of no claim":           {[]change{{dataVolume, "[{name: c, nfs: {server: s, path: /}, copyMethod: Clone}]"}}, "only a persistentVolumeClaim can be cloned"},
		"unknown copy method":           {[]change{{dataVolume, "[{name: c, persistentVolumeClaim: {claimName: c}, copyMethod: Snapshot}]"}}, `supported values: "Direct", "Clone"`},
		"run now, too long":             {[]change{{"spec.runNow", strings.Repeat("a", 254)}}, "spec.runNow"},
		"empty schedule":                {[]change{{"spec.schedule", `""`}}, "spec.schedule"},
		"unknown field in a container":  {[]change{{"spec.job", "{initContainers: [{name: a, image: b, comand: [c]}]}"}}, "comand"},
		"negative backoff":              {[]change{{"spec.job", "{backoffLimit: -1}"}}, "greater than or equal to 0"},
		"claim without a name":          {[]change{{"spec.storage", "{persistentVolumeClaim: {}}"}}, "claimName"},
		"Kubernetes' own label":         {[]change{{"spec.job", "{labels: {job-name: x}}"}}, "set by Kubernetes on each Job"},
		"Kubernetes' own label, new":    {[]change{{"spec.job", "{labels: {batch.kubernetes.io/job-name: x}}"}}, "set by Kubernetes on each Job"},
		"Kubernetes' own label, a UID":  {[]change{{"spec.job", "{labels: {controller-uid: x}}"}}, "set by Kubernetes on each Job"},
		"Kubernetes' own annotation":    {[]change{{"spec.job", "{annotations: {batch.kubernetes.io/cronjob-scheduled-timestamp: x}}"}}, "set by Kubernetes on each Job"},
		"the operator's annotation":     {[]change{{"spec.job", "{annotations: {backup.appliance.io/run-now: x}}"}}, "the operator's own"},
		"a deadline that overflows":     {[]change{{"spec.job", "{activeDeadlineSeconds: 9999999999}"}}, "less than or equal to 31536000"},
		"a start that overflows":        {[]change{{"spec.job", "{startingDeadlineSeconds: 9999999999}"}}, "less than or equal to 31536000"},
		"a toleration that overflows":   {[]change{{"spec.job", "{tolerations: [{tolerationSeconds: 9999999999}]}"}}, "less than or equal to 2147483647"},
		"a fractional exponent":         {[]change{{"spec.job", `{resources: {limits: {cpu: "1e1.5"}}}`}}, "spec.job.resources.limits.cpu"},
		"an exponent without end":       {[]change{{"spec.job", `{resources: {limits: {cpu: "1e-999999999"}}}`}}, "spec.job.resources.limits.cpu"},
		"a port of more than 32 bits":   {[]change{{"spec.job", "{initContainers: [{name: a, startupProbe: {tcpSocket: {port: 9999999999}}}]}"}}, "startupProbe.tcpSocket.port"},
		"starting deadline of a moment": {[]change{{"spec.job", "{startingDeadlineSeconds: 1}"}}, "greater than or equal to 10"},
	} {
		t.Run(name, func(t *testing.T) {
			err := try(t, sample(t, c.changes...))
			switch {
			case err == nil:
				t.Error("it was taken")
			case !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err):
				t.Errorf("refused for another reason: %v", err)
			case !strings.Contains(err.Error(), c.message):
				t.Errorf("the message doesn't say %q:\n%v", c.message, err)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	policy := sample(t, change{"spec.schedule", ""}, change{"spec.totalBackups", ""}, change{"spec.fileBackupMode", ""})
	if err := try(t, policy); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{
		"schedule": "H 5 * * *", "totalBackups": int64(7), "fileBackupMode": "Archive",
	} {
		if got, _, _ := unstructured.NestedFieldNoCopy(policy.Object, "spec", field); got != want {
			t.Errorf("%s is %v by default, want %v", field, got, want)
		}
	}
}
