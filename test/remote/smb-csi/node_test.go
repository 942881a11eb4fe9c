// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/go-cmp/cmp"
)

type secretsByName map[string]map[string][]byte

func (s secretsByName) read(_ context.Context, namespace, name string) (map[string][]byte, error) {
	data, found := s[namespace+"/"+name]
	if !found {
		return nil, fmt.Errorf("not found")
	}
	return data, nil
}

// noted remembers the commands by which shares would be mounted.
type noted struct{ args, environment []string }

func (n *noted) mount(_ context.Context, s share, target string) error {
	n.args, n.environment = s.mountCommand(target)
	return nil
}

func (n *noted) unmount(context.Context, string) error { return nil }

func TestNodePublishVolume(t *testing.T) {
	secrets := secretsByName{
		"orbit/nas":  {"username": []byte("backup\n"), "password": []byte("a,b")},
		"orbit/corp": {"username": []byte("backup"), "password": []byte("p"), "domain": []byte("CORP")},
	}
	inline := func(attributes ...string) map[string]string {
		all := map[string]string{ephemeralAttribute: "true", namespaceAttribute: "orbit"}
		for i := 0; i < len(attributes); i += 2 {
			all[attributes[i]] = attributes[i+1]
		}
		return all
	}
	tests := map[string]struct {
		attributes      map[string]string
		args            string
		environment     []string
		wantErrContains string
	}{
		"with a Secret": {
			attributes:  inline("source", "//nas/backups", "secretName", "nas", "mountOptions", "dir_mode=0700,noperm"),
			args:        "mount -t cifs -o dir_mode=0700,noperm,username=backup //nas/backups /target",
			environment: []string{"PASSWD=a,b"},
		},
		"with a domain": {
			attributes:  inline("source", "//nas/backups", "secretName", "corp"),
			args:        "mount -t cifs -o username=backup,domain=CORP //nas/backups /target",
			environment: []string{"PASSWD=p"},
		},
		"as a guest": {
			attributes: inline("source", "//nas/backups", "mountOptions", "guest"),
			args:       "mount -t cifs -o guest //nas/backups /target",
		},
		"the Secret of another namespace": {
			attributes:      inline("source", "//nas/backups", "secretName", "nas", namespaceAttribute, "other"),
			wantErrContains: "reading the Secret other/nas: not found",
		},
		"no Secret named": {
			attributes:      inline("source", "//nas/backups"),
			wantErrContains: "secretName is missing",
		},
		"no source": {
			attributes:      inline("secretName", "nas"),
			wantErrContains: "write //server/share",
		},
		"not an inline volume": {
			attributes:      map[string]string{"source": "//nas/backups"},
			wantErrContains: "only inline volumes",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var done noted
			server := &nodeServer{secrets: secrets, mounter: &done}
			_, err := server.NodePublishVolume(t.Context(), &csi.NodePublishVolumeRequest{
				TargetPath: "/target", VolumeContext: test.attributes,
			})
			if test.wantErrContains != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErrContains) {
					t.Fatalf("got error %v, want one with %q", err, test.wantErrContains)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.args, strings.Join(done.args, " ")); diff != "" {
				t.Errorf("command (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.environment, done.environment); diff != "" {
				t.Errorf("environment (-want +got):\n%s", diff)
			}
		})
	}
}
