// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

// isRefused reports whether the API server understood a request and refused it, so that only a change of something else
// helps: of the settings, of the operator's permissions, or of the namespace.
func isRefused(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)
}

// refusal says whose fault it is that the API server refused an object of the operator's, and what to do about it.
func refusal(object string, err error) *fault {
	words := apiMessage(err)
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return &fault{backupv1alpha1.ReasonNamespaceTerminating,
			"the namespace is being deleted, and this policy with it, so no more backups are made"}
	case lacksPermission(words):
		return &fault{backupv1alpha1.ReasonOperatorNotPermitted, fmt.Sprintf(
			"the operator lacks a permission, which is not the policy's fault: %s: have a cluster administrator install the "+
				"operator's ClusterRole and its binding again, with helm upgrade for example", words)}
	default:
		return &fault{backupv1alpha1.ReasonCronJobRefused, fmt.Sprintf(
			"the API server refused the %s that these settings make: %s: %s", object, words, refusedFix(words))}
	}
}

// unauthorized is how the API server says that the client lacks a permission, whatever authorizer it asks, from
// https://github.com/kubernetes/apiserver/blob/v0.37.0/pkg/endpoints/handlers/responsewriters/errors.go.
// The same status, Forbidden, is what admission answers to settings that it doesn't allow.
var unauthorized = regexp.MustCompile(`User "[^"]*" cannot [a-z]+ (resource|path) `)

// unauthorizedOwner is how the admission plugin OwnerReferencesPermissionEnforcement says that the client lacks a
// permission on the owner, from
// https://github.com/kubernetes/kubernetes/blob/v1.37.0/plugin/pkg/admission/gc/gc_admission.go.
const unauthorizedOwner = "cannot set blockOwnerDeletion"

// lacksPermission reports whether a refusal is due to permissions that the operator lacks.
func lacksPermission(words string) bool {
	return unauthorized.MatchString(words) || strings.Contains(words, unauthorizedOwner)
}

// refusals are the ways in which admission refuses an object, by words that each begins or marks, and what to do.
var refusals = []struct {
	words *regexp.Regexp
	fix   string
}{
	{
		regexp.MustCompile(`because it is being terminated`),
		"the namespace is being deleted, so there is nothing to do",
	},
	{
		unauthorized,
		"this is not the policy's fault: have a cluster administrator grant that permission",
	},
	{
		regexp.MustCompile(`violates PodSecurity`),
		"set job.podSecurityContext and job.securityContext to what the namespace's Pod Security level asks for",
	},
	{
		regexp.MustCompile(`(exceeded|failed) quota: .*count/|exceeded quota: .* (pods|jobs|cronjobs)\.?[a-z]*=`),
		"have the administrator of the namespace raise the quota",
	},
	{
		regexp.MustCompile(`(exceeded|failed) quota`),
		"raise the quota, or set job.resources to what it leaves",
	},
	{
		regexp.MustCompile(`(maximum|minimum) \S+ usage per (Pod|Container)|(cpu|memory) max limit to request ratio`),
		"set job.resources to what the namespace's LimitRange allows",
	},
	{
		regexp.MustCompile(`admission webhook .* denied the request|ValidatingAdmissionPolicy '`),
		"an admission policy of this cluster does not allow it: set in spec.job what the policy asks for, or ask its " +
			"administrator for an exception",
	},
	{
		regexp.MustCompile(`service account .* not found|serviceaccount "[^"]*" not found`),
		"wait until Kubernetes has made the namespace's default ServiceAccount, or make it again",
	},
}

// refusedFix is what to do about an object that was refused with these words.
func refusedFix(words string) string {
	for _, r := range refusals {
		if r.words.MatchString(words) {
			return r.fix
		}
	}
	return "correct what it names, mostly in spec.job"
}
