// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"regexp"

	"appliance.io/backup-operator/internal/report"
)

// settingOf is the policy's setting that each flag of the runner stands for.
var settingOf = map[string]string{
	"--accept-change":   "acceptChange",
	"--directory":       "backupDirectory",
	"--exclude":         "exclude",
	"--keep":            "totalBackups",
	"--lock-timeout":    "job.activeDeadlineSeconds",
	"--prefix":          "filenamePrefix",
	"--rsync-directory": "rsyncDirectory",
	"--source":          "volumes",
}

var (
	// runnerFlag is a flag where a word begins: a file in a volume may be named like one.
	runnerFlag = regexp.MustCompile(`(^|[^\w./-])(--[a-z]+(?:-[a-z]+)*)`)
	// sourceFlag is a volume as the runner's command line names it.
	sourceFlag = regexp.MustCompile(`--source ([A-Za-z0-9._-]+)=` + sourcesPath + `/[A-Za-z0-9._-]*[A-Za-z0-9_-]`)
	// mountedSource and mountedDirectory are paths in the pod, where they begin. A path of that name in a volume, data/storage
	// for example, is no such path.
	mountedSource    = regexp.MustCompile(`(^|[^\w./-])` + sourcesPath + `/`)
	mountedDirectory = regexp.MustCompile(`(^|[^\w./-])(?:` + storagePath + `|` + remotePath + `)(/|\b)`)
)

// inSettings returns a runner's message in the words of the policy: the runner knows its flags and the paths in its pod,
// and an administrator the settings and the paths in the volumes.
func inSettings(message string) string {
	message = sourceFlag.ReplaceAllString(message, "the volume $1")
	message = runnerFlag.ReplaceAllStringFunc(message, func(found string) string {
		parts := runnerFlag.FindStringSubmatch(found)
		if setting, ok := settingOf[parts[2]]; ok {
			return parts[1] + setting
		}
		return found
	})
	message = mountedSource.ReplaceAllString(message, "$1")
	return mountedDirectory.ReplaceAllString(message, "$1/")
}

// reportInSettings puts all texts of a report into the words of the policy.
func reportInSettings(r *report.Report) {
	r.Message = inSettings(r.Message)
	if r.Sync != nil {
		r.Sync.Message = inSettings(r.Sync.Message)
	}
	for i := range r.Findings {
		r.Findings[i].Message = inSettings(r.Findings[i].Message)
	}
	if r.Warnings != nil {
		for i := range r.Warnings.First {
			r.Warnings.First[i] = inSettings(r.Warnings.First[i])
		}
	}
}
