// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What the kubelet adds to a volume's attributes when the CSIDriver object asks
// for it (podInfoOnMount).
const (
	ephemeralAttribute = "csi.storage.k8s.io/ephemeral"
	namespaceAttribute = "csi.storage.k8s.io/pod.namespace"
)

// inlineVolume is what a pod says about a share.
type inlineVolume struct {
	source     string // //server/share, and directories below it
	secretName string
	namespace  string
	options    []string
}

// parseVolume reads the attributes of a volume. The names of the driver's own
// are known in upper and in lower case.
func parseVolume(attributes map[string]string) (inlineVolume, error) {
	if attributes[ephemeralAttribute] != "true" {
		return inlineVolume{}, errors.New("only inline volumes are supported: the CSIDriver object must have podInfoOnMount: true")
	}
	volume := inlineVolume{namespace: attributes[namespaceAttribute]}
	for key, value := range attributes {
		switch strings.ToLower(key) {
		case "source":
			volume.source = value
		case "secretname":
			volume.secretName = value
		case "mountoptions":
			volume.options = strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
		}
	}
	if !strings.HasPrefix(volume.source, "//") {
		return inlineVolume{}, fmt.Errorf("volume attribute source is %q: write //server/share", volume.source)
	}
	if volume.secretName == "" && !volume.guest() {
		return inlineVolume{}, errors.New("volume attribute secretName is missing: it names the Secret with username and password")
	}
	return volume, nil
}

// guest tells whether the share is open to everybody.
func (v inlineVolume) guest() bool { return slices.Contains(v.options, "guest") }

// login is how a share's server knows its user. The domain is optional.
type login struct{ username, password, domain string }

func parseLogin(data map[string][]byte) login {
	var l login
	for key, value := range data {
		text := strings.TrimSpace(string(value))
		switch strings.ToLower(key) {
		case "username":
			l.username = text
		case "password":
			l.password = text
		case "domain":
			l.domain = text
		}
	}
	return l
}
